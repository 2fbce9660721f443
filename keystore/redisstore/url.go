package redisstore

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/deploymentkeys/gateway/keystore"
)

// CheckURL says what is wrong with a URL, as [Open] would. It connects to nothing, and does not
// read the files that the URL names. The error wraps [keystore.ErrInvalid] and shows nothing of
// the URL that may be a secret.
func CheckURL(text string) error {
	_, err := parse(text)
	return err
}

// An address is a URL taken apart.
type address struct {
	kind  kind
	hosts []string       // with ports; one, unless there are Sentinels or a Cluster
	node  *redis.Options // how to talk to each Redis: user, database, pool; no TLS yet

	masterName       string // with Sentinels
	sentinelUser     string
	sentinelPassword string

	tls *tlsFiles // nil: no TLS
}

type kind int

const (
	oneServer kind = iota
	sentinels
	nodes
)

// schemes are what a URL may begin with.
var schemes = map[string]struct {
	kind kind
	tls  bool
	base string // what go-redis takes it for
	port string
}{
	"redis":           {oneServer, false, "redis", "6379"},
	"rediss":          {oneServer, true, "rediss", "6379"},
	"unix":            {oneServer, false, "unix", ""},
	"redis+sentinel":  {sentinels, false, "redis", "26379"},
	"rediss+sentinel": {sentinels, true, "rediss", "26379"},
	"redis+cluster":   {nodes, false, "redis", "6379"},
	"rediss+cluster":  {nodes, true, "rediss", "6379"},
}

const (
	knownSchemes = "redis://, rediss:// or unix://, or for Sentinels and a Cluster with redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://"
	cannotRead   = "it cannot be read; write redis://user:password@host:6379/0, with whatever is special in the user and password percent-encoded"
	badOptions   = "the part after the host is not a database number, or an option is not known or has a bad value; percent-encode what is special in a password"
)

// parse reads a URL. Neither net/url's error nor go-redis' is shown: both quote the URL, and a
// password with a "/", "?" or "#" in it ends up in any part of it.
func parse(text string) (*address, error) {
	a, err := parseAddress(text)
	if err != nil {
		return nil, fmt.Errorf("%w redis URL: %w", keystore.ErrInvalid, err)
	}
	return a, nil
}

func parseAddress(text string) (*address, error) {
	if text == "" {
		return nil, errors.New("it is empty")
	}
	name, rest, _ := strings.Cut(text, ":")
	scheme, known := schemes[strings.ToLower(name)]
	if !known {
		return nil, errors.New("it must begin with " + knownSchemes)
	}
	if strings.Contains(rest, "#") {
		return nil, errors.New("it has a \"#\"; percent-encode it in a password as %23")
	}
	rest, found := strings.CutPrefix(rest, "//")
	switch {
	case !found && scheme.base == "unix":
		return nil, errors.New("it has no path to a socket; write unix:///path/to/socket")
	case !found:
		return nil, errors.New("it has no host; write redis://host:6379")
	}

	// net/url knows URLs with one host.
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	credentials, hostList := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		credentials, hostList = authority[:i+1], authority[i+1:]
	}
	hosts := strings.Split(hostList, ",")
	if len(hosts) > 1 && scheme.kind == oneServer {
		return nil, errors.New("it has more than one host; begin it with redis+sentinel:// or redis+cluster://")
	}
	a := &address{kind: scheme.kind}
	if scheme.base != "unix" {
		for _, host := range hosts {
			u, err := url.Parse(scheme.base + "://" + host)
			if err != nil {
				return nil, errors.New(cannotRead)
			}
			if u.Hostname() == "" || u.Host != host {
				return nil, errors.New("it has no host, or an empty one; write redis://host:6379")
			}
			if u.Port() == "" {
				host = strings.TrimSuffix(host, ":") + ":" + scheme.port
			}
			a.hosts = append(a.hosts, host)
		}
	}
	u, err := url.Parse(scheme.base + "://" + credentials + strings.TrimSuffix(hosts[0], ":") + path)
	if err != nil {
		return nil, errors.New(cannotRead)
	}
	if scheme.base == "unix" && u.Path == "" {
		return nil, errors.New("it has no path to a socket; write unix:///path/to/socket")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New(badOptions)
	}
	take := func(option string) string {
		value := query.Get(option)
		query.Del(option)
		return value
	}
	switch a.kind {
	case sentinels:
		var ok bool
		a.masterName, u.Path, ok = cutMasterName(u.Path)
		if !ok {
			return nil, errors.New("it does not say which master; write redis+sentinel://host1:26379,host2:26379/mymaster/0")
		}
		a.sentinelUser, a.sentinelPassword = take("sentinel_username"), take("sentinel_password")
		if a.sentinelUser != "" && a.sentinelPassword == "" {
			return nil, errors.New("it has a sentinel_username without a sentinel_password")
		}
	case nodes:
		if strings.Trim(u.Path, "/") != "" || query.Has("db") {
			return nil, errors.New("it has a database number, and a Cluster has none")
		}
	}
	if a.tls, err = takeTLS(scheme.tls, query, take); err != nil {
		return nil, err
	}
	u.RawPath, u.RawQuery = "", query.Encode()
	if a.node, err = redis.ParseURL(u.String()); err != nil {
		return nil, errors.New(badOptions)
	}
	if scheme.base == "unix" {
		a.hosts = []string{a.node.Addr}
	}
	return a, nil
}

// cutMasterName splits /name/db.
func cutMasterName(path string) (name, rest string, ok bool) {
	name, rest, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if rest != "" {
		rest = "/" + rest
	}
	return name, rest, name != ""
}

// secrets are what no error may show.
func (a *address) secrets() []string {
	var found []string
	for _, secret := range []string{a.node.Password, a.sentinelPassword} {
		if secret != "" {
			found = append(found, secret, url.QueryEscape(secret), url.PathEscape(secret))
		}
	}
	return found
}

// String is for errors: where it is, without users and passwords.
func (a *address) String() string {
	list := strings.Join(a.hosts, ",")
	if a.kind == sentinels {
		return fmt.Sprintf("%s (by the Sentinels %s)", a.masterName, list)
	}
	return list
}
