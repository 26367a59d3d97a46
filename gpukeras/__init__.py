import os as _os
# A bare clone: backends/ and kernels/ lie beside this folder instead of inside it.
if not _os.path.isdir(_os.path.join(__path__[0], "backends")):
    __path__.append(_os.path.dirname(__path__[0]))
