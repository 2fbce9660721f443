// Package timing tests that what the token endpoint refuses is refused in the same words and in the same time, whatever is
// wrong with the credentials: with a real gateway process, on both stores, as one sees it who sends requests and holds a
// clock. It knows the product from outside.
//
// With DEPLOYMENT_KEYS_ATTACK set, the gateway is built as users build it, 100,000 requests of each class are sent, and the
// tests judge their times. Without it, some thousands go to a gateway with the race detector, and nothing is judged but the
// words: a verdict on time is for a quiet machine.
package timing
