package redisstore

import (
	"context"
	"net"

	"github.com/redis/go-redis/v9"

	"github.com/deploymentkeys/gateway/keystore"
)

// A place is where the keys are. All of them have one hash tag, so they are on one server at any
// moment, and every command goes to that server's own client: go-redis' client of a Cluster would
// send a script again when the connection broke after it was sent.
type place interface {
	// master is the client of the server that has the keys, as far as known.
	master(ctx context.Context) (*redis.Client, error)

	// at is the client of the server at an address that a redirection names; nil for none.
	at(ctx context.Context, addr string) *redis.Client

	// failed hears of a call that did not work: what is known may be out of date.
	failed()

	Close() error
}

// maxRedirections bounds how often one call is sent elsewhere. A node that has just taken over a
// slot and one that has just lost it may disagree for a moment.
const maxRedirections = 4

// master runs commands on the server that has the keys. A server that redirects has done nothing,
// so the commands are run on the one that it names. Nothing else is done twice.
func (s *Store) master(ctx context.Context, run func(redis.Cmdable) error) error {
	client, err := s.place.master(ctx)
	if err != nil {
		s.place.failed()
		return err
	}
	err = run(client)
	for range maxRedirections {
		addr, asking := "", false
		if moved, ok := redis.IsMovedError(err); ok {
			addr = moved
		} else if addr, asking = redis.IsAskError(err); !asking {
			break
		}
		if host, port, splitErr := net.SplitHostPort(addr); splitErr == nil && host == "" {
			// A node that does not know its own name means the one that it was reached by.
			host, _, _ = net.SplitHostPort(client.Options().Addr)
			addr = net.JoinHostPort(host, port)
		}
		if client = s.place.at(ctx, addr); client == nil {
			break
		}
		if asking {
			err = ask(client, run)
		} else {
			err = run(client)
		}
	}
	if err != nil {
		s.place.failed()
	}
	return err
}

// ask runs commands on a server to which their slot is being moved. It serves a slot that is not
// its own yet to a command that comes right after ASKING.
func ask(client *redis.Client, run func(redis.Cmdable) error) error {
	conn := client.Conn()
	defer conn.Close()
	conn.AddHook(asking{})
	return run(conn)
}

type asking struct{}

func (asking) DialHook(next redis.DialHook) redis.DialHook { return next }

func (asking) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := next(ctx, redis.NewStatusCmd(ctx, "asking")); err != nil {
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

func (asking) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		all := make([]redis.Cmder, 0, 2*len(cmds))
		for _, cmd := range cmds {
			all = append(all, redis.NewStatusCmd(ctx, "asking"), cmd)
		}
		return next(ctx, all)
	}
}

// single is one server, or the one that Sentinels name. With Sentinels go-redis asks them before
// each dial, and closes the connections to the old master when it hears of a new one.
type single struct{ *redis.Client }

func (s single) master(context.Context) (*redis.Client, error) { return s.Client, nil }
func (s single) at(context.Context, string) *redis.Client      { return nil }
func (s single) failed()                                       {}

// cluster is a Cluster.
type cluster struct {
	*redis.ClusterClient
	key string // any of the keys
}

func newCluster(opts *redis.ClusterOptions, key string) *cluster {
	c := &cluster{redis.NewClusterClient(opts), key}
	// go-redis asks for the state of the Cluster in the background without a deadline.
	c.OnNewNode(func(node *redis.Client) { node.AddHook(deadline{}) })
	return c
}

func (c *cluster) master(ctx context.Context) (*redis.Client, error) {
	return c.MasterForKey(ctx, c.key)
}

// at finds a node. ForEach… asks for the state of the Cluster first, and so knows a new one too.
func (c *cluster) at(ctx context.Context, addr string) *redis.Client {
	found := make(chan *redis.Client, 1)
	look := func(_ context.Context, node *redis.Client) error {
		if node.Options().Addr == addr {
			select {
			case found <- node:
			default:
			}
		}
		return nil
	}
	for _, each := range []func(context.Context, func(context.Context, *redis.Client) error) error{
		c.ForEachMaster, c.ForEachSlave,
	} {
		_ = each(ctx, look)
		select {
		case node := <-found:
			return node
		default:
		}
	}
	return nil
}

// failed asks for the state of the Cluster, in the background, five times a second at most. By
// itself go-redis does so once a minute, and would not find a new master before.
func (c *cluster) failed() { c.ReloadState(context.Background()) }

// deadline bounds what has no bound.
type deadline struct{}

func (deadline) DialHook(next redis.DialHook) redis.DialHook { return next }

func (deadline) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if _, bounded := ctx.Deadline(); bounded {
			return next(ctx, cmd)
		}
		ctx, cancel := context.WithTimeout(ctx, keystore.DefaultTimeout)
		defer cancel()
		return next(ctx, cmd)
	}
}

func (deadline) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
