"""E-mail addresses: which spellings are one address."""

from unicodedata import normalize

from email_validator import validate_email


def address_key(text: str) -> str:
    """The key of an e-mail address: equal for all spellings of one address.

    It is stored for uniqueness, looked up at sign-in, and counted by the limits. The key is email-validator's normal form with
    the domain in ASCII (IDNA), case-folded as Unicode defines canonical caseless matching (D145). Text that is no address is
    folded as a whole, so every text has a key.

    The key is not for sending mail: it turns `ß` into `ss`, which mail servers may tell apart. Characters that merely look
    alike, such as U+0430 and `a`, are not folded: they belong to different people.
    """
    text = text.strip()
    try:
        address = validate_email(text, check_deliverability=False)
    except ValueError:  # not an address; half of a surrogate pair is not even text
        normal = text
    else:
        normal = f"{address.local_part}@{address.ascii_domain}"
    return normalize("NFC", normalize("NFD", normal).casefold())
