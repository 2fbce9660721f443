package redisstore

import (
	"fmt"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/deploymentkeys/gateway/keystore"
)

// Options are the settings of a [Store]. All but URL may be left out.
type Options struct {
	// URL says where Redis is:
	//
	//	redis://user:password@host:6379/0    TCP
	//	rediss://user:password@host:6379/0   TLS
	//	unix://user:password@/path/to/socket?db=0
	//
	// User, password, port and database may be left out. What is special in a URL is
	// percent-encoded in a password. Options of the connection pool may follow as a query, with
	// the names that [redis.ParseURL] gives them; max_retries is not obeyed.
	URL string

	// Prefix is the beginning of all keys, so that several gateways may share a Redis. It goes
	// between braces, which makes it the hash tag on a Cluster, and must have none itself.
	// Default: "deployment_keys".
	Prefix string

	// Timeout bounds a single call whose context has no earlier deadline, and within it the dial.
	// Default: [keystore.DefaultTimeout].
	Timeout time.Duration

	// MaxLogEntries is how many entries of the change log are kept at least. Redis removes whole
	// blocks, so that some hundred more may be there. Default: [keystore.MaxLogEntries].
	MaxLogEntries int
}

// Open makes a store, and does not connect: that Redis is absent is an error of each call until
// it is there. The error of Open says what is wrong with the options, without showing the URL, and
// wraps [keystore.ErrInvalid].
func Open(opts Options) (*Store, error) {
	client, err := parse(opts.URL)
	if err != nil {
		return nil, err
	}
	if opts.Prefix == "" {
		opts.Prefix = "deployment_keys"
	}
	for _, c := range opts.Prefix {
		if c <= ' ' || c > '~' || c == '{' || c == '}' {
			return nil, fmt.Errorf("%w redis prefix %q: it may have printable ASCII without spaces and braces", keystore.ErrInvalid, opts.Prefix)
		}
	}
	if opts.Timeout <= 0 {
		opts.Timeout = keystore.DefaultTimeout
	}
	if opts.MaxLogEntries <= 0 {
		opts.MaxLogEntries = keystore.MaxLogEntries
	}
	bound(client, opts.Timeout)
	s := &Store{
		client:  redis.NewClient(client),
		host:    client.Addr,
		prefix:  "{" + opts.Prefix + "}:",
		timeout: opts.Timeout,
		keep:    opts.MaxLogEntries,
	}
	if client.Password != "" {
		s.secrets = []string{client.Password}
		if encoded := url.QueryEscape(client.Password); encoded != client.Password {
			s.secrets = append(s.secrets, encoded)
		}
	}
	return s, nil
}

// parse reads the URL. Neither net/url's error nor go-redis' is shown: both quote the URL, and a
// password with a "/", "?" or "#" in it ends up in any part of it.
func parse(text string) (*redis.Options, error) {
	refuse := func(why string) (*redis.Options, error) {
		return nil, fmt.Errorf("%w redis URL: %s", keystore.ErrInvalid, why)
	}
	if text == "" {
		return refuse("it is empty")
	}
	u, err := url.Parse(text)
	if err != nil {
		return refuse("it cannot be read; write redis://user:password@host:6379/0, with whatever is special in the user and password percent-encoded")
	}
	switch u.Scheme {
	case "redis", "rediss":
		if u.Host == "" {
			return refuse("it has no host; write redis://host:6379")
		}
	case "unix":
		if u.Path == "" {
			return refuse("it has no path to a socket; write unix:///path/to/socket")
		}
	default:
		return refuse("it must begin with redis://, rediss:// or unix://")
	}
	if u.Fragment != "" {
		return refuse("it has a \"#\"; percent-encode it in a password as %23")
	}
	client, err := redis.ParseURL(text)
	if err != nil {
		return refuse("the part after the host is not a database number, or an option is not known or has a bad value; percent-encode what is special in a password")
	}
	return client, nil
}

// bound sets what must not be left to go-redis' defaults, some of which wait for seconds.
func bound(client *redis.Options, timeout time.Duration) {
	// A command that is sent again after its answer was lost is run twice; see Apply.
	client.MaxRetries = -1
	// One dial for each call: a refused one is known at once, and the next call tries again.
	client.DialerRetries = 1
	client.ContextTimeoutEnabled = true
	for _, field := range []*time.Duration{
		&client.DialTimeout, &client.ReadTimeout, &client.WriteTimeout, &client.PoolTimeout,
	} {
		if *field <= 0 {
			*field = timeout
		}
	}
	// Two round trips less for a new connection, and two commands less that an ACL user needs.
	client.DisableIdentity = true
	client.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	// The few pipelines here are short. They need no connections and buffers of their own.
	client.PipelinePoolSize = -1
}
