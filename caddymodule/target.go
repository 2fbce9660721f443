package caddymodule

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// A target says which Deployment a request is for: a text with placeholders, prepared.
type target struct {
	template    string
	placeholder string // the name of the one placeholder that the template is; "" when it is more
	segment     int    // of the path, when that is what the placeholder stands for; or -1
}

var (
	onePlaceholder = regexp.MustCompile(`^\{([^{}]+)\}$`)
	pathSegment    = regexp.MustCompile(`^http\.request\.uri\.path\.([0-9]{1,4})$`)
)

func newTarget(template string) target {
	t := target{template: template, segment: -1}
	if match := onePlaceholder.FindStringSubmatch(template); match != nil {
		t.placeholder = match[1]
	}
	if match := pathSegment.FindStringSubmatch(t.placeholder); match != nil {
		t.segment, _ = strconv.Atoi(match[1]) // of digits only
	}
	return t
}

// of is the Deployment that a request is for. "" is of none, and no key has it.
func (t target) of(r *http.Request, repl *caddy.Replacer) string {
	switch {
	case t.segment >= 0:
		// What Caddy's placeholder says, without splitting the path for each request.
		path := strings.TrimPrefix(r.URL.Path, "/")
		for range t.segment {
			_, after, found := strings.Cut(path, "/")
			if !found {
				return ""
			}
			path = after
		}
		segment, _, _ := strings.Cut(path, "/")
		return segment
	case t.placeholder != "":
		name, _ := repl.GetString(t.placeholder)
		return name
	default:
		return repl.ReplaceAll(t.template, "")
	}
}
