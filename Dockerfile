FROM python:3.12-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /thaw

# What the lock file pins is a layer of its own, so that an edit of the source does not install it again.
COPY requirements.lock ./
COPY scripts/environment.sh scripts/
RUN sh scripts/environment.sh runtime

# With .git: DVC needs the repository, and every figure names its revision.
COPY . .
RUN make env

CMD ["make", "report"]
