// Verifies one token with one public library, against an issuer found by discovery.
//
// usage: NODE_EXTRA_CA_CERTS=CA_FILE node verify.mjs LIBRARY ISSUER AUDIENCE < TOKEN
//
// Prints the claims as JSON; a refusal goes to standard error, with exit code 1.
// Wants `node_modules` beside it: `npm ci` in this folder, or a link to where the tests keep it.

import { readFileSync } from 'node:fs'

const [library, issuer, audience] = process.argv.slice(2)
const token = readFileSync(0, 'utf8').trim()

async function discover() {
  const url = issuer.replace(/\/$/, '') + '/.well-known/openid-configuration'
  const response = await fetch(url, { redirect: 'error' })
  if (response.status !== 200) throw new Error(`discovery answered ${response.status}`)
  const document = await response.json()
  if (document.issuer !== issuer) throw new Error(`the document names another issuer: ${document.issuer}`)
  return document
}

async function verifyWithJose(jwksUri) {
  const { createRemoteJWKSet, jwtVerify } = await import('jose')
  const keys = createRemoteJWKSet(new URL(jwksUri))
  const { payload } = await jwtVerify(token, keys, { issuer, audience })
  return payload
}

const libraries = {
  async jose() {
    return verifyWithJose((await discover()).jwks_uri)
  },

  // Its own token check wants a `nonce`, which a pod's token has not: jose verifies.
  async 'openid-client'() {
    const { discovery } = await import('openid-client')
    const configuration = await discovery(new URL(issuer), 'any-client')
    return verifyWithJose(configuration.serverMetadata().jwks_uri)
  },

  async 'jwks-rsa'() {
    const { default: jwksClient } = await import('jwks-rsa')
    const { jwtVerify, decodeProtectedHeader } = await import('jose')
    const { createPublicKey } = await import('node:crypto')
    const client = jwksClient({ jwksUri: (await discover()).jwks_uri })
    const key = await client.getSigningKey(decodeProtectedHeader(token).kid)
    const { payload } = await jwtVerify(token, createPublicKey(key.getPublicKey()), { issuer, audience })
    return payload
  },

  async 'aws-jwt-verify'() {
    const { JwtVerifier } = await import('aws-jwt-verify')
    const verifier = JwtVerifier.create({ issuer, audience, jwksUri: (await discover()).jwks_uri })
    return verifier.verify(token)
  },

  // It judges an ID token that a token endpoint answered, and its signature when asked to.
  async oauth4webapi() {
    const {
      discoveryRequest, processDiscoveryResponse, processGenericTokenEndpointResponse,
      getValidatedIdTokenClaims, validateApplicationLevelSignature,
    } = await import('oauth4webapi')
    const url = new URL(issuer)
    const server = await processDiscoveryResponse(url, await discoveryRequest(url))
    const body = { access_token: 'any', token_type: 'bearer', id_token: token }
    const answer = new Response(JSON.stringify(body), { headers: { 'content-type': 'application/json' } })
    const result = await processGenericTokenEndpointResponse(server, { client_id: audience }, answer)
    await validateApplicationLevelSignature(server, answer)
    return getValidatedIdTokenClaims(result)
  },
}

try {
  console.log(JSON.stringify(await libraries[library]()))
} catch (error) {
  // Every library has its own classes: all of them are a refusal.
  console.error(`refused by ${library}: ${error.code ?? error.name}: ${error.message}`, error.cause ?? '')
  process.exitCode = 1
}
