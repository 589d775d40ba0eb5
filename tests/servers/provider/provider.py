"""An identity provider as small as can be, from public libraries: what every cloud does with a pod's token.

usage: provider.py CA_FILE AUDIENCE TRUSTED_ISSUER…

It is given nothing but the issuers it trusts. A client sends its pod's token to `POST /token`; the
provider takes `iss` from it, finds that issuer's keys by discovery, verifies, and answers with an access
token of its own, which `GET /whoami` accepts. It prints the port it listens on.
"""

import json
import secrets
import ssl
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

LIFETIME = 900


class Refused(Exception):
    """The client is told why."""


class Provider:
    def __init__(self, ca: str, audience: str, trusted: list[str]):
        self.tls = ssl.create_default_context(cafile=ca)
        self.audience = audience
        self.trusted = trusted
        self.issued: dict[str, tuple[str, float]] = {}

    def exchange(self, token: str) -> dict:
        """A pod's token in, an access token out."""
        try:
            # Not yet verified: only good for choosing where to look for the key.
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except jwt.PyJWTError as error:
            raise Refused(f"not a token: {error}") from error
        if issuer not in self.trusted:
            raise Refused(f"untrusted issuer: {issuer}")
        claims = self.verify(token, issuer)
        access_token = secrets.token_urlsafe(32)
        self.issued[access_token] = (claims["sub"], time.monotonic() + LIFETIME)
        return {"access_token": access_token, "token_type": "Bearer", "expires_in": LIFETIME}

    def verify(self, token: str, issuer: str) -> dict:
        url = issuer.removesuffix("/") + "/.well-known/openid-configuration"
        with urllib.request.urlopen(url, context=self.tls, timeout=5) as response:
            document = json.load(response)
        if document["issuer"] != issuer:
            raise Refused(f"{url} names another issuer: {document['issuer']}")
        keys = jwt.PyJWKClient(document["jwks_uri"], ssl_context=self.tls, timeout=5)
        try:
            return jwt.decode(
                token,
                keys.get_signing_key_from_jwt(token),
                algorithms=document["id_token_signing_alg_values_supported"],
                audience=self.audience,
                issuer=issuer,
                options={"require": ["exp", "iat", "sub", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise Refused(f"{type(error).__name__}: {error}") from error

    def whoami(self, access_token: str) -> dict:
        subject, expires = self.issued.get(access_token, ("", 0.0))
        if time.monotonic() >= expires:
            raise Refused("unknown or expired access token")
        return {"subject": subject}


def handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.answer("/token", provider.exchange)

        def do_GET(self) -> None:
            self.answer("/whoami", provider.whoami)

        def answer(self, path: str, act) -> None:
            scheme, _, bearer = self.headers.get("Authorization", "").partition(" ")
            if self.path != path:
                status, body = 404, {"error": "not found"}
            elif scheme.lower() != "bearer" or not bearer:
                status, body = 401, {"error": "no bearer token"}
            else:
                try:
                    status, body = 200, act(bearer.strip())
                except Refused as refusal:
                    status, body = 401, {"error": str(refusal)}
                except Exception as error:  # the issuer cannot be reached, or answers nonsense
                    status, body = 502, {"error": f"{type(error).__name__}: {error}"}
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def main() -> None:
    ca, audience, *trusted = sys.argv[1:]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(Provider(ca, audience, trusted)))
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
