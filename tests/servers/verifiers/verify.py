"""Verifies one token with one public library, against an issuer found by discovery.

usage: verify.py LIBRARY ISSUER AUDIENCE CA_FILE < TOKEN

Prints the claims as JSON; a refusal goes to standard error, with exit code 1.
"""

import json
import ssl
import sys
import urllib.request


def fetch(url: str, ca: str) -> dict:
    with urllib.request.urlopen(url, context=ssl.create_default_context(cafile=ca), timeout=10) as response:
        return json.load(response)


def discover(issuer: str, ca: str) -> dict:
    document = fetch(issuer.removesuffix("/") + "/.well-known/openid-configuration", ca)
    if document["issuer"] != issuer:
        raise ValueError(f"the document names another issuer: {document['issuer']}")
    return document


def pyjwt(token: str, issuer: str, audience: str, ca: str) -> dict:
    import jwt

    document = discover(issuer, ca)
    client = jwt.PyJWKClient(document["jwks_uri"], ssl_context=ssl.create_default_context(cafile=ca))
    return jwt.decode(
        token,
        client.get_signing_key_from_jwt(token),
        algorithms=document["id_token_signing_alg_values_supported"],
        audience=audience,
        issuer=issuer,
    )


def joserfc(token: str, issuer: str, audience: str, ca: str) -> dict:
    from joserfc import jwt
    from joserfc.jwk import KeySet

    document = discover(issuer, ca)
    keys = KeySet.import_key_set(fetch(document["jwks_uri"], ca))
    claims = jwt.decode(token, keys, algorithms=document["id_token_signing_alg_values_supported"]).claims
    jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer}, aud={"essential": True, "value": audience}
    ).validate(claims)
    return claims


def authlib(token: str, issuer: str, audience: str, ca: str) -> dict:
    import requests
    from authlib.jose import JsonWebKey, JsonWebToken

    # The library leaves the fetching to its host: `requests`, as its own client does it.
    session = requests.Session()
    session.verify = ca
    session.trust_env = False
    document = session.get(issuer.removesuffix("/") + "/.well-known/openid-configuration", timeout=10).json()
    keys = JsonWebKey.import_key_set(session.get(document["jwks_uri"], timeout=10).json())
    claims = JsonWebToken(document["id_token_signing_alg_values_supported"]).decode(
        token,
        keys,
        claims_options={
            "iss": {"essential": True, "value": issuer},
            "aud": {"essential": True, "value": audience},
        },
    )
    claims.validate()
    return dict(claims)


def google_auth(token: str, issuer: str, audience: str, ca: str) -> dict:
    import requests
    from google.auth.transport.requests import Request
    from google.oauth2 import id_token

    session = requests.Session()
    session.verify = ca
    session.trust_env = False
    # The second fetch of the keys is PyJWT's, which trusts what SSL_CERT_FILE names.
    claims = id_token.verify_token(
        token, Request(session), audience=audience, certs_url=discover(issuer, ca)["jwks_uri"]
    )
    if claims["iss"] != issuer:
        raise ValueError(f"another issuer: {claims['iss']}")
    return dict(claims)


LIBRARIES = {"pyjwt": pyjwt, "joserfc": joserfc, "authlib": authlib, "google-auth": google_auth}


def main() -> int:
    library, issuer, audience, ca = sys.argv[1:]
    token = sys.stdin.read().strip()
    try:
        claims = LIBRARIES[library](token, issuer, audience, ca)
    except Exception as error:  # every library has its own classes: all of them are a refusal
        print(f"refused by {library}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(claims))
    return 0


if __name__ == "__main__":
    sys.exit(main())
