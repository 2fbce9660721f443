package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/deploymentkeys/gateway/keystore"
)

// maxCause bounds what is shown of a server's own words.
const maxCause = 300

// unavailable is the error of this store: what every caller tells apart, the host, the cause in
// words. The cause itself is not in the chain, except that the deadline or the caller ended the
// call: a server may repeat in an error what it was sent, also a password.
func (s *Store) unavailable(cause error) error {
	var netErr net.Error
	switch {
	case errors.Is(cause, context.Canceled):
		return fmt.Errorf("%w: redis at %s: %w", keystore.ErrUnavailable, s.host, context.Canceled)
	case errors.Is(cause, context.DeadlineExceeded), errors.As(cause, &netErr) && netErr.Timeout():
		return fmt.Errorf("%w: redis at %s did not answer in time: %w", keystore.ErrUnavailable, s.host, context.DeadlineExceeded)
	}
	words := logger.redact(strings.TrimPrefix(cause.Error(), "redis: "))
	if len(words) > maxCause {
		words = words[:maxCause] + "…"
	}
	switch {
	case strings.Contains(words, "compiling script"):
		words += " (is it older than Redis 7.0?)"
	case strings.HasPrefix(words, "MOVED "):
		words += " (is it a Cluster? begin the URL with redis+cluster://)"
	}
	return fmt.Errorf("%w: redis at %s: %s", keystore.ErrUnavailable, s.host, words)
}
