package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/deploymentkeys/gateway/keystore"
)

// Options are the settings of a [Store]. All but URL may be left out.
type Options struct {
	// URL says where Redis is:
	//
	//	redis://user:password@host:6379/0
	//	unix://user:password@/path/to/socket?db=0
	//	redis+sentinel://user:password@host1:26379,host2:26379,host3:26379/mymaster/0
	//	redis+cluster://user:password@host1:6379,host2:6379
	//
	// and with TLS rediss://, rediss+sentinel:// and rediss+cluster://. User, password, port and
	// database may be left out. What is special in a URL is percent-encoded in a password.
	//
	// Options may follow as a query:
	//
	//	sentinel_username, sentinel_password   of the Sentinels; user and password are of Redis itself
	//	tls_ca             file with the certificates of the CAs to trust; default: those of the system
	//	tls_cert, tls_key  files with a certificate to show, and its key
	//	tls_server_name    the name in the certificate of each server, if it is not the host's
	//
	// and those of the connection pool with the names that [redis.ParseURL] gives them, also for
	// Sentinels and a Cluster: pool_size, min_idle_conns, conn_max_lifetime and so on. max_retries,
	// read_timeout and write_timeout are not obeyed, and skip_verify is refused, as is whatever is
	// not known, also go-redis' own forms for Sentinels and a Cluster with master_name and addr.
	URL string

	// Prefix is the beginning of all keys, so that several gateways may share a Redis. It goes
	// between braces, which makes it the hash tag on a Cluster, and must have none itself.
	// Default: "deployment_keys".
	Prefix string

	// Timeout bounds a single call whose context has no deadline, and the making of a connection
	// in each call. Default: [keystore.DefaultTimeout].
	Timeout time.Duration

	// MaxLogEntries is how many entries of the change log are kept at least. Redis removes whole
	// blocks, so that some hundred more may be there. Default: [keystore.MaxLogEntries].
	MaxLogEntries int

	// Replicas is how many replicas must have a change before Apply returns. When they don't
	// within ReplicaTimeout, its error wraps [keystore.ErrUnavailable] and says that the change
	// was made and may not last. Default: none are waited for.
	Replicas int

	// ReplicaTimeout bounds the wait for Replicas. Default: [DefaultReplicaTimeout].
	ReplicaTimeout time.Duration
}

// DefaultReplicaTimeout is how long a change waits for the replicas. A healthy one has it within
// milliseconds.
const DefaultReplicaTimeout = time.Second

// maxReaders is how many reads of the log may wait at once. Each has a connection in addition to
// those of the pool. A gateway has one, and a few more for a moment when it is configured anew.
const maxReaders = 16

// Open makes a store, and does not connect: that Redis is absent is an error of each call until
// it is there. The error of Open says what is wrong with the options, without showing the URL, and
// wraps [keystore.ErrInvalid].
func Open(opts Options) (*Store, error) {
	at, err := parse(opts.URL)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := at.tls.config()
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
	if opts.ReplicaTimeout <= 0 {
		opts.ReplicaTimeout = DefaultReplicaTimeout
	}
	s := &Store{
		host:        at.String(),
		prefix:      "{" + opts.Prefix + "}:",
		timeout:     opts.Timeout,
		keep:        opts.MaxLogEntries,
		replicas:    max(opts.Replicas, 0),
		replicaTime: opts.ReplicaTimeout,
		closing:     make(chan struct{}),
		readers:     make(chan struct{}, maxReaders),
	}
	logger.hide(at.secrets())
	s.place = at.connect(tlsConfig, opts.Timeout, s.head())
	return s, nil
}

// connect makes the clients. None of them connects yet.
func (a *address) connect(tlsConfig *tls.Config, timeout time.Duration, key string) place {
	bound(a.node, timeout)
	a.node.TLSConfig = tlsConfig
	switch n := a.node; a.kind {
	case sentinels:
		// Without a deadline of its own, go-redis' connection to a Sentinel could hang in silence.
		longest := max(timeout, keystore.ChangeTimeout) + time.Second
		return single{redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: a.masterName, SentinelAddrs: a.hosts,
			SentinelUsername: a.sentinelUser, SentinelPassword: a.sentinelPassword,
			OnConnect: wantMaster,
			Username:  n.Username, Password: n.Password, DB: n.DB, TLSConfig: n.TLSConfig,
			Protocol: n.Protocol, ClientName: n.ClientName, DisableIdentity: n.DisableIdentity,
			MaxRetries: n.MaxRetries, DialerRetries: n.DialerRetries, DialTimeout: n.DialTimeout,
			ReadTimeout: longest, WriteTimeout: longest, ContextTimeoutEnabled: n.ContextTimeoutEnabled,
			PoolFIFO: n.PoolFIFO, PoolSize: n.PoolSize, PoolTimeout: n.PoolTimeout, PipelinePoolSize: n.PipelinePoolSize,
			MinIdleConns: n.MinIdleConns, MaxIdleConns: n.MaxIdleConns, MaxActiveConns: n.MaxActiveConns,
			MaxConcurrentDials: n.MaxConcurrentDials, ConnMaxIdleTime: n.ConnMaxIdleTime,
			ConnMaxLifetime: n.ConnMaxLifetime, ConnMaxLifetimeJitter: n.ConnMaxLifetimeJitter,
		})}
	case nodes:
		return newCluster(&redis.ClusterOptions{
			Addrs: a.hosts, MaxRedirects: -1,
			Username: n.Username, Password: n.Password, TLSConfig: n.TLSConfig,
			Protocol: n.Protocol, ClientName: n.ClientName, DisableIdentity: n.DisableIdentity,
			MaxRetries: n.MaxRetries, DialerRetries: n.DialerRetries, DialTimeout: n.DialTimeout,
			ReadTimeout: n.ReadTimeout, WriteTimeout: n.WriteTimeout, ContextTimeoutEnabled: n.ContextTimeoutEnabled,
			PoolFIFO: n.PoolFIFO, PoolSize: n.PoolSize, PoolTimeout: n.PoolTimeout, PipelinePoolSize: n.PipelinePoolSize,
			MinIdleConns: n.MinIdleConns, MaxIdleConns: n.MaxIdleConns, MaxActiveConns: n.MaxActiveConns,
			MaxConcurrentDials: n.MaxConcurrentDials, ConnMaxIdleTime: n.ConnMaxIdleTime,
			ConnMaxLifetime: n.ConnMaxLifetime, ConnMaxLifetimeJitter: n.ConnMaxLifetimeJitter,
			MaintNotificationsConfig: n.MaintNotificationsConfig,
		}, key)
	}
	return single{redis.NewClient(a.node)}
}

// bound sets what must not be left to go-redis' defaults, some of which wait for seconds.
func bound(client *redis.Options, timeout time.Duration) {
	// A command that is sent again after its answer was lost is run twice; see Apply.
	client.MaxRetries = -1
	// One dial for each call: a refused one is known at once, and the next call tries again.
	client.DialerRetries = 1
	if client.DialTimeout <= 0 {
		client.DialTimeout = timeout
	}
	// Every call has a deadline, and that is the only bound on it.
	client.ContextTimeoutEnabled = true
	client.ReadTimeout, client.WriteTimeout = -1, -1
	if client.PoolTimeout <= 0 {
		client.PoolTimeout = time.Minute
	}
	// Reads of the log wait in Redis, and must not keep others waiting here.
	if client.PoolSize <= 0 {
		client.PoolSize = 10 * runtime.GOMAXPROCS(0)
	}
	client.PoolSize += maxReaders
	if client.MaxActiveConns > 0 {
		client.MaxActiveConns += maxReaders
	}
	// Two round trips less for a new connection, and two commands less that an ACL user needs.
	client.DisableIdentity = true
	client.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	// The few pipelines here are short. They need no connections and buffers of their own.
	client.PipelinePoolSize = -1
}

// wantMaster refuses a new connection to a server that is no master (any more), which a Sentinel
// may name for a moment. Redis closes those to a master that becomes a replica.
func wantMaster(ctx context.Context, conn *redis.Conn) error {
	role, err := conn.Do(ctx, "role").Slice()
	if err != nil {
		return err
	}
	if len(role) > 0 && (role[0] == "master" || role[0] == "sentinel") {
		return nil
	}
	return errors.New("the server that the Sentinels name is not a master")
}
