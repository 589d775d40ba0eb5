"""PyJWT as a program that runs on: verifies one token after the other.

usage: stream.py ISSUER AUDIENCE CA_FILE SECONDS

Keeps the key set for so many seconds, as `max-age` says. Reads a token a line; answers each with a line: `ok`, or
`refused` and why.
"""

import ssl
import sys

import jwt
from verify import discover


def main() -> None:
    issuer, audience, ca, seconds = sys.argv[1:]
    document = discover(issuer, ca)
    context = ssl.create_default_context(cafile=ca)
    client = jwt.PyJWKClient(
        document["jwks_uri"], lifespan=float(seconds), cooldown_duration=float(seconds), ssl_context=context
    )
    for line in sys.stdin:
        token = line.strip()
        try:
            jwt.decode(
                token,
                client.get_signing_key_from_jwt(token),
                algorithms=document["id_token_signing_alg_values_supported"],
                audience=audience,
                issuer=issuer,
            )
            print("ok", flush=True)
        except Exception as error:  # all of them are a refusal
            print(f"refused {type(error).__name__}: {error}".replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
