"""
Secrets where programs have them: none may be in a trace that was recorded without --record-values. Attributes and keys
that are names may.

Each secret is made at run time and has a word that is not in this file's text, so that no constant of the code is one.
"""

import argparse
import os
import types

part = bytes(letter + 1 for letter in b"ptdwyx").decode()
half = 20557 * 100003  # 2055761671


def secret(template):
    return template.replace("@", part)


class Session:
    pass


text = secret("swordfish @ in plain text")
data = secret("bytes @ of a message").encode()
array = bytearray(secret("array @ of bytes").encode())
number = 7007007007 * half
environment = os.environ["HEAPSAKE_TEST_SECRET"]

# Keys of dicts: no names, or tokens that look like names.
keys = [
    secret("key with a space @"), secret("alice@.example@host"), secret("sk_live_@f00dfeed4a5b6c7d8e9f"),
    secret("a3f5@c0ffee0badcafe0123456789abcdef"), secret("AKIAIOSF@NN7EXAMPLE"), f"u{half}111111",
    secret("eyJhbGciOiJIUzI@NiIsInR5cCI6IkpXVCJ9"), secret("b_@_2b7e151628aed2a6abf7158809cf4f3c"),
    f"phone_{half}", secret("token@") + "x" * 40, secret("schlüssel@"),
]
by_key = {key: Session() for key in keys}
by_keyword = dict(**{secret("kw arg @"): Session()})
# Attributes that are none of the program's names.
session = Session()
setattr(session, secret("attribute with @ spaces"), Session())
session.__dict__[secret("dict entry @ of an instance")] = Session()
inline = Session()
setattr(inline, secret("c0ffee@badcafe0123456789abcdef00"), Session())
inline.fine_name = Session()
space = types.SimpleNamespace(**{secret("space name @"): Session()})
parsed = argparse.Namespace(**{secret("parsed name @"): Session()})
in_set = {secret("member of a set @")}
in_tuple = (secret("item of a tuple @"),)
exception = ValueError(secret("the password is @"))
plain = {"u42": Session(), "user_name": Session(), "a_long_name_of_a_function_that_somebody_wrote": Session()}

print(part, half, number, flush=True)
