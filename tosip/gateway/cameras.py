"""Which camera a file belongs to: told by its user, its first folder, its name, or its header."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tosip.errors import ConfigurationError
from tosip.gateway.settings import CameraSettings


class Cameras:
    """`cameras(user, name, header)` names the camera, or gives an empty text if nobody can tell.

    `name` is the virtual path of the file, `header` its primary FITS header: keywords with values
    as they are written, quotes removed. ConfigurationError if the settings cannot work.
    """

    def __init__(self, settings: CameraSettings) -> None:
        self._settings = settings
        try:
            self._pattern = re.compile(settings.pattern)
        except re.error as error:
            raise ConfigurationError(
                f"camera.pattern: expected a regular expression, got {settings.pattern!r} ({error})"
            ) from None
        for how, key in (("name", "pattern"), ("header", "keyword")):
            if settings.by == how and not getattr(settings, key):
                raise ConfigurationError(f"camera.{key}: expected one with by = {how!r}, got none")

    def __call__(self, user: str, name: str, header: Mapping[str, str]) -> str:
        """See the class."""
        found = self._found(user, name, header)
        return self._settings.names.get(found, found)

    def _found(self, user: str, name: str, header: Mapping[str, str]) -> str:
        folder, _, last = name.partition("/")
        match self._settings.by:
            case "user":
                return user
            case "folder":
                return folder if last else ""
            case "header":
                return header.get(self._settings.keyword, "")
        found = self._pattern.search(name)
        if found is None:
            return ""
        return (found[1] if self._pattern.groups else found[0]) or ""
