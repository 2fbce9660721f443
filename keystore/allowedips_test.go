package keystore_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

func TestParseAllowedIPs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.0.2.7":              "192.0.2.7/32",
		"192.0.2.7/24":           "192.0.2.0/24",
		"0.0.0.0/0":              "0.0.0.0/0",
		"2001:db8::1":            "2001:db8::1/128",
		"2001:DB8:0::1/32":       "2001:db8::/32",
		"::/0":                   "::/0",
		"::ffff:192.0.2.7":       "192.0.2.7/32",
		"::ffff:192.0.2.7/120":   "192.0.2.0/24",
		"::ffff:0:0/96":          "0.0.0.0/0",
		"10.0.0.0/8 10.1.2.3/8":  "10.0.0.0/8",
		"10.0.0.1 ::ffff:a00:1":  "10.0.0.1/32",
		"10.0.0.0/8 192.0.2.0/4": "10.0.0.0/8 192.0.0.0/4",
		"":                       "",
	} {
		list, err := keystore.ParseAllowedIPs(strings.Fields(text))
		if got := strings.Trim(fmt.Sprint(list), "[]"); err != nil || got != want {
			t.Errorf("%q is %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "/8", "10.0.0.0/08", "10.0.0.0/-1", "010.0.0.1", "10.0.0.1:80", "[::1]", "::1/129",
		"fe80::1%eth0", "fe80::1%eth0/64", "::ffff:0:0/90", "localhost", "10.0.0.0/255.0.0.0", "dks_" + strings.Repeat("a", 58),
	} {
		_, err := keystore.ParseAllowedIPs([]string{text})
		if !errors.Is(err, keystore.ErrInvalid) {
			t.Errorf("%q: error %v, want one of ErrInvalid", text, err)
		} else if strings.Contains(err.Error(), "dks_") {
			t.Errorf("%q stands in the error %q", text, err)
		}
	}
	var most []string
	for i := range keystore.MaxAllowedIPs + 1 {
		most = append(most, fmt.Sprintf("192.0.2.%d", i))
	}
	if _, err := keystore.ParseAllowedIPs(append(most[1:], most[1:]...)); err != nil {
		t.Errorf("%d blocks, each twice: %v", keystore.MaxAllowedIPs, err)
	}
	if _, err := keystore.ParseAllowedIPs(most); !errors.Is(err, keystore.ErrInvalid) {
		t.Errorf("%d blocks: %v", len(most), err)
	}
}

func TestAllowedIPsAllow(t *testing.T) {
	t.Parallel()
	list := must(keystore.ParseAllowedIPs([]string{"10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "fe80::/10"}))
	for text, want := range map[string]bool{
		"10.0.0.0": true, "10.255.255.255": true, "11.0.0.0": false, "9.255.255.255": false,
		"192.0.2.7": true, "192.0.2.8": false, "::ffff:192.0.2.7": true, "::ffff:192.0.2.8": false, "::192.0.2.7": false,
		"2001:db8::1": true, "2001:db9::1": false, "::1": false, "fe80::1%eth0": true,
	} {
		if got := list.Allow(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s is allowed: %t, want %t", text, got, want)
		}
	}
	failIf(t, list.Allow(netip.Addr{}) || !keystore.AllowedIPs(nil).Allow(netip.Addr{}), "no address is allowed where all are, and nowhere else")
}

func TestParseExpiry(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2030-01-02T03:04:05Z":           "2030-01-02T03:04:05Z",
		"2030-01-02T03:04:05.999Z":       "2030-01-02T03:04:05Z",
		"2030-01-02T03:04:05+02:00":      "2030-01-02T01:04:05Z",
		"9999-12-31T23:59:59Z":           "9999-12-31T23:59:59Z",
		"9999-12-31T23:59:59-01:00":      "",
		"0001-01-01T00:00:00Z":           "",
		"1970-01-01T00:00:00Z":           "",
		"":                               "",
		"2030-01-02":                     "",
		"2030-01-02 03:04:05Z":           "",
		"2030-01-02T03:04:05":            "",
		"2030-01-02T3:04:05Z":            "",
		"2030-02-30T03:04:05Z":           "",
		"1893553445":                     "",
		"2030-01-02T03:04:05Z and a day": "",
	} {
		at, err := keystore.ParseExpiry(text)
		switch {
		case want == "" && !errors.Is(err, keystore.ErrInvalid):
			t.Errorf("%q: error %v, want one of ErrInvalid", text, err)
		case want != "" && (err != nil || at.Format(time.RFC3339Nano) != want):
			t.Errorf("%q is %s, %v, want %s", text, at, err, want)
		}
	}
}
