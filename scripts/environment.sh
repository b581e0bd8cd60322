#!/bin/sh
# Brings .venv up to date: sh scripts/environment.sh GOAL...
#
#   uv       an environment with the pinned uv, which installs everything else
#   runtime  what requirements.lock pins
#   project  thaw itself, from this folder
#   dev      what requirements-dev.lock pins
#   quarto   Quarto, where there is none: tried once, for at most QUARTO_SECONDS; THAW_QUARTO=0 opts out
#
# A goal includes the ones it needs and takes no time where it is reached already. Each step leaves a copy of the files
# that it installed in .venv, and runs again when they have changed.
set -eu
CDPATH='' cd -- "${0%/*}/.."
here=$(pwd -P)

# The environment's own Python, which the Makefile and an activated environment have first, cannot make it anew.
own=$here/.venv/bin
PATH=:$PATH
while [ "$PATH" != "${PATH#*:"$own"}" ]; do PATH=${PATH%%:"$own"*}${PATH#*:"$own"}; done
PATH=${PATH#:}

QUARTO_VERSION=1.9.38
QUARTO_SHA256=bd59fdc0d868cd670ea4ebbf5997bfdfd6c81a0d9f50fe099f40f992b257ce18

fail() { echo "$1" >&2; exit 1; }

# Prints the first Python that is new enough and can make environments.
find_python() {
	incomplete=
	for candidate in ${PYTHON:=python3.13 python3.12 python3.11 python3}; do
		"$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
		"$candidate" -c 'import ensurepip, venv' 2>/dev/null && echo "$candidate" && return
		incomplete=$("$candidate" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
	done
	[ -z "$incomplete" ] ||
		fail "$incomplete has no venv module: install it (Debian, Ubuntu: apt install $incomplete-venv), then make again."
	fail "No Python 3.11 or newer found as $PYTHON: install one, or name it: make PYTHON=/path/to/python3."
}

# Waits until no other run of this script is at work. Not every system has the program `flock`.
lock() { "$1" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'; }

# Fails where Python is gone, where the project has moved since (the programs in .venv name the old place), or where an
# installation was cut short (a package may be half there and look whole).
whole() {
	[ ! -e .thaw/environment.unfinished ] && [ -x .venv/bin/uv ] && [ "$(cat .venv/.made 2>/dev/null)" = "$here" ] &&
		.venv/bin/python -c '' 2>/dev/null
}

# Whether someone made .venv without this script, so that uv can be installed into it.
made_by_hand() {
	[ ! -e .thaw/environment.unfinished ] && [ ! -e .venv/.made ] && .venv/bin/python -c '
import sys, pip
sys.exit(sys.version_info < (3, 11) or sys.prefix == sys.base_prefix)' 2>/dev/null
}

with_uv() {
	! whole || return 0
	if ! made_by_hand; then
		python=$(find_python)
		echo "Making .venv with $("$python" --version), several GB in all"
		: >.thaw/environment.unfinished
		"$python" -m venv --clear --without-pip .venv
		.venv/bin/python -m ensurepip --default-pip >/dev/null
	fi
	# The pinned uv with its hashes, cut out of the lock file.
	awk '/^[^ ]/ { wanted = /^uv==/ } wanted && !/^ *#/' requirements.lock >.venv/uv.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.txt
	echo "$here" >.venv/.made
	rm -f .thaw/environment.unfinished
}

# install STEP "FILE..." OPTION...: what the options name, unless that was done since the files last changed.
install() {
	stamp=.venv/.$1 files=$2
	shift 2
	! cat $files | cmp -s - "$stamp" 2>/dev/null || return 0
	echo "Installing what ${files##* } asks for"
	: >.thaw/environment.unfinished
	# Without a terminal, uv's list of two hundred packages says nothing that the lock file does not.
	[ -t 2 ] || set -- --quiet "$@"
	.venv/bin/uv pip install --python .venv/bin/python "$@"
	rm -f .thaw/environment.unfinished
	cat $files >"$stamp"
}

with_runtime() {
	with_uv
	install runtime requirements.lock --require-hashes -r requirements.lock
}

with_project() {
	with_runtime
	install project "requirements.lock pyproject.toml" --no-build-isolation --no-deps -e .
	[ ! -d report ] || echo "QUARTO_PYTHON=$PWD/.venv/bin/python" >report/_environment.local # from wherever it is called
}

with_dev() {
	with_project
	install dev "requirements.lock pyproject.toml requirements-dev.lock" --require-hashes -r requirements-dev.lock
}

# Runs a command for at most $1 seconds and ends what it started; not every system has the program `timeout`.
within() {
	.venv/bin/python -c '
import os, signal, subprocess, sys
process = subprocess.Popen(sys.argv[2:], start_new_session=True)
try:
    sys.exit(process.wait(float(sys.argv[1])))
finally:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)' "$@"
}

# The package quarto-cli downloads Quarto while it is built; what it needs of Jupyter is in requirements.lock.
with_quarto() {
	with_project
	[ "${THAW_QUARTO:-}" != 0 ] && [ ! -e .venv/.quarto ] && ! command -v quarto >/dev/null &&
		[ ! -x .venv/bin/quarto ] || return 0
	seconds=${QUARTO_SECONDS:-120}
	echo "Installing Quarto $QUARTO_VERSION, for at most $seconds seconds"
	echo "quarto-cli==$QUARTO_VERSION --hash=sha256:$QUARTO_SHA256" >.venv/quarto.txt
	if { within "$seconds" .venv/bin/uv pip install --python .venv/bin/python --no-deps --require-hashes \
		-r .venv/quarto.txt && .venv/bin/quarto --version; } >.venv/quarto.log 2>&1; then
		echo "Quarto $QUARTO_VERSION is installed in .venv"
	else
		.venv/bin/uv pip uninstall --quiet --python .venv/bin/python quarto-cli 2>/dev/null || true
		echo "Going on without Quarto, which could not be had (.venv/quarto.log): a plainer report; make env retries."
	fi
	: >.venv/.quarto # stands for the try, successful or not
}

git --version >/dev/null 2>&1 || fail "thaw needs git: install it, then run make again."
mkdir -p .thaw
exec 9>.thaw/environment.lock
lock .venv/bin/python 2>/dev/null || {
	python=$(find_python)
	lock "$python"
}
for goal; do
	case $goal in
	uv | runtime | project | dev | quarto) "with_$goal" ;;
	*) fail "$0: $goal is no goal; there are uv, runtime, project, dev and quarto." ;;
	esac
done
