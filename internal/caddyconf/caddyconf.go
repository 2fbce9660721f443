// Package caddyconf reads options of configurations: arguments of Caddyfiles, durations, and the one form that secrets may
// have in a configuration.
package caddyconf

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// OneArg reads the one argument of an option, which must not be empty.
func OneArg(d *caddyfile.Dispenser, to *string) error {
	option := d.Val()
	if !d.AllArgs(to) {
		return d.ArgErr()
	}
	if *to == "" {
		return d.Errf("%s is empty: is a variable not set?", option)
	}
	return nil
}

// Flag reads an option without arguments.
func Flag(d *caddyfile.Dispenser, to *bool) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	*to = true
	return nil
}

// NumberArg reads a number from 1.
func NumberArg(d *caddyfile.Dispenser) (int, error) {
	var text string
	option := d.Val()
	if err := OneArg(d, &text); err != nil {
		return 0, err
	}
	number, err := strconv.Atoi(text)
	if err != nil || number < 1 {
		return 0, d.Errf("%s %s: want a number from 1", option, text)
	}
	return number, nil
}

// DurationArg reads a duration, such as 24h.
func DurationArg(d *caddyfile.Dispenser) (*caddy.Duration, error) {
	var text string
	option := d.Val()
	if err := OneArg(d, &text); err != nil {
		return nil, err
	}
	parsed, err := caddy.ParseDuration(text)
	if err != nil {
		return nil, d.Errf("%s %s: want a duration, such as 24h: %v", option, text, err)
	}
	set := caddy.Duration(parsed)
	return &set, nil
}

// Duration returns a setting, or otherwise where it is not set. One that is out of bounds is an error.
func Duration(name string, set *caddy.Duration, otherwise, least, most time.Duration) (time.Duration, error) {
	if set == nil {
		return otherwise, nil
	}
	if d := time.Duration(*set); d < least || d > most {
		return 0, fmt.Errorf("%s %s: use %s to %s", name, d, short(least), short(most))
	}
	return time.Duration(*set), nil
}

// short writes 1h where a duration writes itself as 1h0m0s.
func short(d time.Duration) string {
	s := strings.TrimSuffix(d.String(), "0m0s")
	return strings.TrimSuffix(s, "m0s")
}

// IsSecret reports whether an option is a placeholder that may hold a secret: {file.*} or {env.*}. In the configuration
// itself, /config/ and the autosave would show it; what others stand for, such as {time.now}, can be guessed.
func IsSecret(option string) bool { return secretPlaceholder.MatchString(option) }

var secretPlaceholder = regexp.MustCompile(`^\{(env|file)\.[^{}]+\}$`)
