"""The errors that are raised on purpose; each is also a builtin exception (in brackets).

::

    DeepcueError
    ├── InputError (ValueError)        the user's input: a one-line message, exit status 2
    │   ├── DatasetError               a folder, manifest or metadata.json
    │   │   └── NotFoundError          (FileNotFoundError) no such file or folder
    │   ├── TableError                 a feature table; a NotFoundError as well where the file is missing
    │   ├── ModelError                 a model folder; a NotFoundError as well where the folder is missing
    │   └── UnknownFamilyError         the name of a cue family
    └── ClipError (RuntimeError)       one clip; becomes the status of its row
        └── UnreadableError            neither video nor audio, or nothing can be decoded
"""

import re

# every pattern is linear in the length of the text, which may hold long words of hex or base64
_USER = re.compile(  # with the password, which may hold slashes; after a host comes a port
    r"(?P<protocol>[A-Za-z][\w+.-]{0,31}://|\b(?:https?|s?ftp|s3a?|gc?s):/)"  # a Path drops a slash
    r"(?:(?!arn:)[^/\s?:@\[]*:(?!\d{1,5}[/?])(?:(?!::|://)[^\s@])*@)?(?:[^/\s?]*@)?"
)
_HTTP = re.compile(r"(?P<url>https?://?(?:(?!::)[^\s?])*)(?P<query>\?(?:(?!::)\S)*)?")
_QUERY = re.compile(r"\?[\w.~%&-]+=(?:(?!::)\S)*")  # of any URL, since a key may hold spaces; keys may hold a bare "?"
_PUNCTUATION = ")]}'\"<>,;:."  # of the sentence around a URL


def without_credentials(text: str) -> str:
    """Return a text with user, password and query taken out of every URL in it.

    Messages, table rows and journals go through this function: a query may hold the signature of a presigned URL.

    >>> without_credentials("can't be read (https://bob:secret@host/a.mp4?X-Amz-Signature=5f); check the path")
    "can't be read (https://host/a.mp4); check the path"
    """
    if ":/" not in text:
        return text
    text = _USER.sub(r"\g<protocol>", text)
    text = _HTTP.sub(lambda link: link["url"] + _after_query(link["query"] or ""), text)
    return _QUERY.sub(lambda query: _after_query(query[0]), text)


def _after_query(query: str) -> str:
    """Return the punctuation after a query, which belongs to the sentence around the URL."""
    return query[len(query.rstrip(_PUNCTUATION)) :]


class DeepcueError(Exception):
    """Base of every error raised on purpose; its message never shows the credentials of a URL."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(
            *(without_credentials(argument) if isinstance(argument, str) else argument for argument in arguments)
        )


class InputError(DeepcueError, ValueError):
    """The user's input can't be used; the message names the file and the remedy."""


class DatasetError(InputError):
    """A folder, a manifest or a ``metadata.json`` can't be read as a data set."""


class NotFoundError(DatasetError, FileNotFoundError):
    """A file or folder does not exist."""


class TableError(InputError):
    """A feature table is missing, is not a feature table, or lacks what the step needs."""


class ModelError(InputError):
    """A model folder or weights file is missing, damaged, of another version or of another kind."""


class MissingTableError(TableError, NotFoundError):
    """The file of a table does not exist."""


class MissingModelError(ModelError, NotFoundError):
    """The folder holds no model, or does not exist."""


class UnknownFamilyError(InputError):
    """No cue family has this name."""


class ClipError(DeepcueError, RuntimeError):
    """One clip can't be measured; ``status`` is the status of its row."""

    status = "crashed"


class UnreadableError(ClipError):
    """The file is neither video nor audio, or none of its video (in an audio file: its audio) can be decoded."""

    status = "unreadable"
