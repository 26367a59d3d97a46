"""Streams and stream capture of the CuPy stand-in."""


def capturing():
    return False


def execute(name, function, hosts, writes=()):
    return function(*hosts)
