// Package token knows access tokens: their claims (RFC 9068), the keys that sign them (RFC 7517)
// and how a presented one is proven (RFC 7519, RFC 8725). It must not know Caddy, HTTP, or where
// keys are kept, and it is the only package that knows golang-jwt.
//
// Three types do the work:
//
//   - [SigningKey] is one private key with its ID. Who stores it, and sealed how, is the caller's.
//   - [Ring] is the set of keys that a node holds at one moment. It signs, and it publishes itself
//     as a JWK Set. It never changes: other keys are another Ring.
//   - [Verifier] turns a presented token into facts: who issued it, for whom, until when. It
//     remembers tokens that it has proven.
//
// A fact is not a permission. Whether the key behind a token still lives, and whether a route
// admits it, is asked elsewhere, each time.
package token
