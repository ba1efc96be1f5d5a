"""Files that were uploaded to a fake provider, or written by it."""

import threading
import time
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import HTTP


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file.

    Attributes:
        id: Its id at the provider.
        content: Its bytes.
        name: What its owner calls it.
        purpose: What for, such as `batch`.
        created_seconds: When, in seconds of the Unix epoch.
    """

    id: str
    content: bytes
    name: str
    purpose: str
    created_seconds: int


class Files:
    """All files of a provider. Safe to use from any thread."""

    def __init__(self) -> None:
        """Start with none."""
        self._files: dict[str, StoredFile] = {}
        self._lock = threading.Lock()

    def put(self, file_id: str, content: bytes, *, name: str = "", purpose: str = "batch") -> StoredFile:
        """Keep a file."""
        file = StoredFile(file_id, content, name, purpose, int(time.time()))
        with self._lock:
            self._files[file_id] = file
        return file

    def get(self, file_id: str) -> StoredFile:
        """Return a file.

        Raises:
            KeyError: There is none.
        """
        with self._lock:
            return self._files[file_id]

    def remove(self, file_id: str) -> bool:
        """Remove a file; whether there was one."""
        with self._lock:
            return self._files.pop(file_id, None) is not None

    def all(self) -> list[StoredFile]:
        """Return all files, the oldest first."""
        with self._lock:
            return list(self._files.values())


def form_fields(content_type: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """Return the fields of a form (`multipart/form-data`): file name, empty for a plain field, and value."""
    form = message_from_bytes(f"content-type: {content_type}\r\n\r\n".encode() + body, policy=HTTP)
    fields: dict[str, tuple[str, bytes]] = {}
    for part in form.iter_parts():
        value = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        fields[str(name)] = (part.get_filename() or "", value if isinstance(value, bytes) else b"")
    return fields
