// Package keystore knows Deployments, their API keys and their members: what they are, what
// they may do, how they are kept and how a secret is checked. It keeps the keys that sign access
// tokens and knows when each of them signs, and which tokens were revoked. It must not know HTTP,
// OAuth, what is in a token, or Caddy.
//
// Two layers:
//
//   - [Store] is the small thing that a database has to be able to do: named records, ordered
//     indexes and a change log, changed together in one atomic step. Package boltstore keeps
//     one in a file, package redisstore in Redis, and package storetest holds both to the same
//     behaviour.
//   - [Keystore] is what Deployments, keys and members mean on top of a Store. Everything that
//     must not differ between two databases is here, once: validation, authentication codes on
//     records, what a deletion takes with it, and which event a change leaves in the log.
package keystore
