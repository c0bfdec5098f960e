"""What goes wrong around a program, told apart from a bug in it: a full disk, a missing right, a text in no UTF-8."""

from __future__ import annotations

import errno
import re
from typing import Final

from journeymesh.errors import (
    ExtraMissing,
    JourneymeshError,
    NotFound,
    NotPermitted,
    OutputUnwritable,
    ResourcesExhausted,
    SourceUnreadable,
)

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_TOO_MANY: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
_NOT_THERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_EXTRA = re.compile(r"^(?P<package>[A-Za-z0-9_.-]+).*;.*extra == ['\"](?P<extra>[a-z0-9-]+)['\"]")


def accident(error: BaseException) -> JourneymeshError | None:
    """The error as one of ours where it is no fault of the program; None where it may be one."""
    match error:
        case MemoryError():
            return ResourcesExhausted("not enough memory", todo="add memory, or use fewer --jobs")
        case UnicodeDecodeError():
            at = f"byte 0x{error.object[error.start]:02x} at {error.start:,}"
            return SourceUnreadable(f"a text is not {error.encoding.upper()} ({at})", todo="write the file in UTF-8")
        case ModuleNotFoundError() if (extra := _extra_of(error.name or "")) is not None:
            return ExtraMissing((error.name or "").partition(".")[0], extra)
        case OSError():
            return _of_the_system(error)
    return None


def _of_the_system(error: OSError) -> JourneymeshError | None:
    place = f" {error.filename}" if error.filename is not None else ""
    why = error.strerror or type(error).__name__
    if error.errno in _FULL:
        where = place or " standard output or a temporary file"
        return OutputUnwritable(f"cannot write{where}: {why}", todo="free space, or write elsewhere (TMPDIR)")
    if error.errno in _DENIED:
        return NotPermitted(
            f"cannot use{place or ' a file'}: {why}", todo="check its permissions, or name another path"
        )
    if error.errno in _TOO_MANY:
        return ResourcesExhausted(
            f"a limit of the system is reached{place}: {why}", todo="raise the limit, or use fewer --jobs"
        )
    if error.errno in _NOT_THERE and place:
        return NotFound(f"cannot use{place}: {why}", todo="correct the path")
    if error.errno == errno.EBADF and not place:
        return OutputUnwritable("standard output is closed", todo="leave it open, or send it to /dev/null")
    return None


def _extra_of(module: str) -> str | None:
    """The extra that brings this module, by what the distribution says of itself."""
    from importlib.metadata import PackageNotFoundError, packages_distributions, requires

    root = module.partition(".")[0]
    names = {root, root.replace("_", "-"), *packages_distributions().get(root, ())}
    try:
        stated = [_EXTRA.match(line) for line in requires("journeymesh") or ()]
    except PackageNotFoundError:
        return None
    return next((found["extra"] for found in stated if found and found["package"].lower() in names), None)
