"""A corpus of the user's own: a function that yields (name, text) of each document, the same ones at every call."""

from collections.abc import Iterable

from scaling.config import Own, StudyError, loaded


def own_documents(part: Own) -> list[tuple[str, str]]:
    """What `part` yields, in its order.

    Raises:
      StudyError: it is no function, yields something else, or text that is not Unicode.
    """
    made = loaded(part)
    if not callable(made):
        raise StudyError(f"data.corpus is {part!r}, a {type(made).__name__}; name a function that yields documents")
    documents = made()
    if isinstance(documents, str) or not isinstance(documents, Iterable):
        raise StudyError(
            f"data.corpus is {part!r}, which returns a {type(documents).__name__}; yield (name, text) of each document"
        )
    found: list[tuple[str, str]] = []
    for place, document in enumerate(documents):
        if not (isinstance(document, tuple) and len(document) == 2 and all(isinstance(one, str) for one in document)):
            raise StudyError(
                f"data.corpus is {part!r}, whose document {place} is {document!r:.80}; yield (name, text), both str"
            )
        name, text = document
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise StudyError(
                f"data.corpus is {part!r}, whose document {place}, {name!r}, cannot be written as UTF-8: "
                f"{error.reason} at character {error.start}"
            ) from None
        found.append((name, text))
    return found
