"""One module a study, found by its name: the function is called as its module.

A study is a function (study, *, its options) -> Outcome. Its module says what its figure shows in CAPTION and, where it
draws curves, what they are in AXES.
"""
