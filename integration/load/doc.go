// Package load tests what it takes to keep a gateway busy: what a refused request costs beside an accepted one, how much
// of a request is read before it is refused, and what floods, slow clients and idle connections leave to the others.
// It has tests only.
//
// In CI the tests are small, and hold counts: commands of the store, bytes, goroutines. With DEPLOYMENT_KEYS_ATTACK=1
// they are of full size, with a gateway as users have it, and print figures of times and shares.
package load
