package redisstore_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/redisstore"
	"github.com/deploymentkeys/gateway/keystore/storetest"
)

func TestPasswordIsNotShown(t *testing.T) {
	t.Parallel()
	const password = "s3cr/et?w#ord"
	const encoded = "s3cr%2Fet%3Fw%23ord"
	wantHidden := func(t *testing.T, err error) {
		t.Helper()
		for e := err; e != nil; e = errors.Unwrap(e) {
			for _, form := range []string{"s3cr", "w#ord", "%23ord"} {
				for _, shown := range []string{e.Error(), fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e)} {
					storetest.FailIf(t, strings.Contains(shown, form), "the error shows the password: %s", shown)
				}
			}
		}
	}

	server := storetest.StartRedis(t, "requirepass another")
	for name, url := range map[string]string{
		"wrong password": "redis://:" + encoded + "@" + server.Addr(),
		"wrong user":     "redis://user:" + encoded + "@" + server.Addr(),
		"no password":    server.URL(),
		"nobody there":   "redis://:" + encoded + "@127.0.0.1:1",
		"no such host":   "redis://:" + encoded + "@redis.invalid:6379",
		"no TLS there":   "rediss://:" + encoded + "@" + server.Addr(),
		"no Sentinel":    "redis+sentinel://:" + encoded + "@" + server.Addr() + "/name?sentinel_password=s3cr",
		"no Cluster":     "redis+cluster://:" + encoded + "@" + server.Addr(),
		"no such socket": "unix://:" + encoded + "@/nowhere/redis.sock",
		"repeats what it is told": "redis://:" + encoded + "@" + listen(t, func(conn net.Conn) {
			scanner := bufio.NewScanner(conn)
			for scanner.Scan() {
				if strings.EqualFold(scanner.Text(), "hello") || strings.EqualFold(scanner.Text(), "auth") {
					_, _ = fmt.Fprintf(conn, "-ERR unknown command, with args beginning with: '%s'\r\n", password)
				}
			}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t, redisstore.Options{URL: url})
			for _, err := range storetest.WantUnavailable(t, t.Context(), store, 2*slack) {
				wantHidden(t, err)
			}
		})
	}

	for name, url := range map[string]string{
		"not encoded":             "redis://:" + password + "@localhost:6379",
		"slash":                   "redis://user:s3cr/etw@localhost",
		"question mark":           "redis://user:1?s3cr=@localhost",
		"question mark, no user":  "redis://:6379?s3cr@localhost",
		"number sign":             "redis://user:1#s3cr@localhost",
		"percent":                 "redis://user:s3cr%zz@localhost",
		"space":                   "redis://user:s3cr @local host",
		"port":                    "redis://user:" + encoded + "@localhost:port",
		"scheme":                  "http://user:" + encoded + "@localhost",
		"no scheme":               "user:" + encoded + "@localhost",
		"no scheme and user":      "s3cr@localhost:6379",
		"database":                "redis://user:" + encoded + "@localhost/db",
		"path":                    "redis://user:" + encoded + "@localhost/1/2",
		"option":                  "redis://user:" + encoded + "@localhost?nonsense=1",
		"value of an option":      "redis://user:" + encoded + "@localhost?pool_size=s3cr",
		"no host":                 "redis:",
		"no host but credentials": "redis://user:" + encoded + "@",
		"no path":                 "unix://user:" + encoded + "@",
		"empty":                   "",
		"control character":       "redis://user:s3cr\n@localhost",
		"two hosts":               "redis://user:" + encoded + "@a,b",
		"skip_verify":             "rediss://user:" + encoded + "@a?skip_verify=true",
		"TLS without TLS":         "redis://user:" + encoded + "@a?tls_ca=/ca.pem",
		"certificate and no key":  "rediss://user:" + encoded + "@a?tls_cert=/cert.pem",

		"Sentinel, no master":       "redis+sentinel://user:" + encoded + "@a,b",
		"Sentinel, a database only": "redis+sentinel://user:" + encoded + "@a,b/",
		"Sentinel, database":        "redis+sentinel://user:" + encoded + "@a,b/name/db",
		"Sentinel, path":            "redis+sentinel://user:" + encoded + "@a,b/name/1/2",
		"Sentinel, no host":         "redis+sentinel://user:" + encoded + "@/name",
		"Sentinel, an empty host":   "redis+sentinel://user:" + encoded + "@a,,b/name",
		"Sentinel, port":            "redis+sentinel://user:" + encoded + "@a:1,b:port/name",
		"Sentinel, user only":       "redis+sentinel://user:" + encoded + "@a/name?sentinel_username=s3cr",
		"Sentinel, option":          "redis+sentinel://a/name?sentinel_password=s3cr&nonsense=s3cr",
		"Sentinel, replicas":        "redis+sentinel://user:" + encoded + "@a/name?replica_only=true",
		"Sentinel, go-redis' form":  "redis://user:" + encoded + "@a?master_name=name&addr=b:1",
		"Cluster, database":         "redis+cluster://user:" + encoded + "@a,b/1",
		"Cluster, database option":  "redis+cluster://user:" + encoded + "@a,b?db=1",
		"Cluster, not encoded":      "redis+cluster://user:" + password + "@a,b",
		"Cluster, replicas":         "redis+cluster://user:" + encoded + "@a,b?route_randomly=true",
	} {
		t.Run("bad URL: "+name, func(t *testing.T) {
			t.Parallel()
			store, err := redisstore.Open(redisstore.Options{URL: url})
			if err == nil {
				t.Cleanup(func() { _ = store.Close() })
			}
			if checked := redisstore.CheckURL(url); fmt.Sprint(checked) != fmt.Sprint(err) {
				t.Errorf("CheckURL: %v, Open: %v", checked, err)
			}
			if !errors.Is(err, keystore.ErrInvalid) || !strings.Contains(err.Error(), "redis URL") {
				t.Errorf("Open: %v, want %v that says what is wrong", err, keystore.ErrInvalid)
			}
			wantHidden(t, err)
		})
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	server := storetest.StartRedis(t, "requirepass s3cr/et", "user gateway on >p@ss ~* &* +@all")
	for _, user := range []string{":s3cr%2Fet", "default:s3cr%2Fet", "gateway:p%40ss"} {
		store := open(t, redisstore.Options{URL: "redis://" + user + "@" + server.Addr(), Timeout: patient})
		apply(t, store, change())
	}
}

func TestBadPrefix(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"a}", "{a", "a b", "ä", "a\x00", "\n"} {
		if _, err := redisstore.Open(redisstore.Options{URL: "redis://localhost", Prefix: prefix}); !errors.Is(err, keystore.ErrInvalid) {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
}
