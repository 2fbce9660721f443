package redisstore

import (
	"fmt"
	"strings"
	"testing"
)

// TestParse holds what each part of a URL becomes.
func TestParse(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"redis://localhost":               "0 localhost:6379 user= password= db=0",
		"redis://h:1/3":                   "0 h:1 user= password= db=3",
		"redis://user:p%40s%2Fs@h:1?db=2": "0 h:1 user=user password=p@s/s db=2",
		"REDIS://:pw@h:/":                 "0 h:6379 user= password=pw db=0",
		"redis://[::1]:1":                 "0 [::1]:1 user= password= db=0",
		"redis://[::1]":                   "0 [::1]:6379 user= password= db=0",
		"rediss://h":                      "0 h:6379 user= password= db=0 tls={   }",
		"rediss://h?tls_ca=/a&tls_cert=/b%20c&tls_key=/d&tls_server_name=n&pool_size=3": "0 h:6379 user= password= db=0 tls={/a /b c /d n} pool=3",
		"unix:///run/redis.sock":                  "0 /run/redis.sock user= password= db=0",
		"unix://user:pw@/run/redis.sock?db=1":     "0 /run/redis.sock user=user password=pw db=1",
		"redis+sentinel://h/name":                 "1 h:26379 user= password= db=0 master=name",
		"redis+sentinel://u:p@a:1,b,c:3/my%2Dm/4": "1 a:1,b:26379,c:3 user=u password=p db=4 master=my-m",
		"redis+sentinel://a/name/?sentinel_username=su&sentinel_password=s%26p&pool_size=7": "1 a:26379 user= password= db=0 master=name sentinel=su:s&p pool=7",
		"rediss+sentinel://a,[::1]:2/name?tls_ca=/a":                                        "1 a:26379,[::1]:2 user= password= db=0 master=name tls={/a   }",
		"redis+cluster://u:p@a:7000,b":                                                      "2 a:7000,b:6379 user=u password=p db=0",
		"rediss+cluster://a/":                                                               "2 a:6379 user= password= db=0 tls={   }",
	} {
		a, err := parse(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		got := fmt.Sprintf("%d %s user=%s password=%s db=%d", a.kind, strings.Join(a.hosts, ","), a.node.Username, a.node.Password, a.node.DB)
		if a.masterName != "" {
			got += " master=" + a.masterName
		}
		if a.sentinelPassword != "" {
			got += fmt.Sprintf(" sentinel=%s:%s", a.sentinelUser, a.sentinelPassword)
		}
		if a.tls != nil {
			got += fmt.Sprintf(" tls=%v", *a.tls)
		}
		if a.node.PoolSize != 0 {
			got += fmt.Sprintf(" pool=%d", a.node.PoolSize)
		}
		if got != want {
			t.Errorf("%s is\n%s, want\n%s", url, got, want)
		}
	}
}
