"""E-mail addresses: which spellings are the same address."""

from unicodedata import normalize

from email_validator import validate_email


def address_key(text: str) -> str:
    """Return the key of an e-mail address, which is equal for all its spellings.

    It is stored for uniqueness, looked up at sign-in, and counted by the rate limits. The key is email-validator's normal form
    with the domain in ASCII (IDNA), case-folded as Unicode defines canonical caseless matching (D145). Text that is not an
    address is folded as a whole, so every text has a key.

    Do not send mail to the key: it turns `ß` into `ss`, which mail servers may distinguish. Characters that only look alike
    (U+0430 and `a`) are not folded, as they may belong to different people.
    """
    text = text.strip()
    try:
        address = validate_email(text, check_deliverability=False)
    except ValueError:  # not an address, or half of a surrogate pair
        normal = text
    else:
        normal = f"{address.local_part}@{address.ascii_domain}"
    return normalize("NFC", normalize("NFD", normal).casefold())
