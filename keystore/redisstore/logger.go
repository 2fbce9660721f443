package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// go-redis has one logger for the process, and other modules of the same Caddy use it too. So this one writes what
// go-redis writes by itself, and where: lines about failed dials, at most one for each connection of the pool
// until Redis can be dialled again. Only the passwords of stores are replaced, since a server may repeat in an
// error what it was sent. Which client a line is about, go-redis does not say.
func init() { redis.SetLogger(&logger) }

var logger = redacting{Logger: log.New(os.Stderr, "redis: ", log.LstdFlags|log.Lshortfile)}

type redacting struct {
	*log.Logger

	mu      sync.Mutex
	secrets []string // of each store that was opened, longest first
}

// hide adds secrets. Of two that begin alike the longer one is replaced.
func (r *redacting) hide(secrets []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = append(slices.Clone(r.secrets), secrets...)
	slices.SortFunc(r.secrets, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	r.secrets = slices.Compact(r.secrets)
}

// redact replaces what no log and no error may show.
func (r *redacting) redact(text string) string {
	r.mu.Lock()
	secrets := r.secrets
	r.mu.Unlock()
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, "(password)")
	}
	return text
}

// Printf implements the interface of go-redis' loggers.
func (r *redacting) Printf(_ context.Context, format string, args ...any) {
	_ = r.Output(3, r.redact(fmt.Sprintf(format, args...))) // the frame that called go-redis' own Printf
}
