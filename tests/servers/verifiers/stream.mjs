// jose as a program that runs on: verifies one token after the other.
//
// usage: NODE_EXTRA_CA_CERTS=CA_FILE node stream.mjs ISSUER AUDIENCE SECONDS
//
// Keeps the key set for so many seconds, as `max-age` says. Reads a token a line; answers each with a line: `ok`, or
// `refused` and why. Wants `node_modules` beside it, as verify.mjs.

import { createInterface } from 'node:readline'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const [issuer, audience, seconds] = process.argv.slice(2)
const response = await fetch(issuer.replace(/\/$/, '') + '/.well-known/openid-configuration', { redirect: 'error' })
if (response.status !== 200) throw new Error(`discovery answered ${response.status}`)
const document = await response.json()
const milliseconds = Number(seconds) * 1000
const keys = createRemoteJWKSet(new URL(document.jwks_uri), {
  cacheMaxAge: milliseconds,
  cooldownDuration: milliseconds,
})

for await (const line of createInterface({ input: process.stdin })) {
  try {
    await jwtVerify(line.trim(), keys, { issuer, audience })
    console.log('ok')
  } catch (error) {
    console.log(`refused ${error.code ?? error.name}: ${error.message} ${error.cause ?? ''}`.replaceAll('\n', ' '))
  }
}
