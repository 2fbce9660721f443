package access

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// An upstream is how a server finds what a path is of. They differ in these.
type upstream struct {
	decodes         int  // so often it decodes the path before it splits it
	splitsFirst     bool // it decodes each segment once more, by itself
	cutsParameters  bool // it cuts a segment at ; as servlet containers do, before it decodes the last time and after
	turnsBackslash  bool // to it \ is /
	stopsAtNUL      bool // to it NUL ends a text
	trimsWhiteSpace bool // it takes white space and dots away from the end of a name, as Windows does; dots alone stay
}

// upstreams are all combinations.
func upstreams() (all []upstream) {
	for decodes := range mostDecodings {
		for bits := range 1 << 5 {
			all = append(all, upstream{decodes, bits&1 != 0, bits&2 != 0, bits&4 != 0, bits&8 != 0, bits&16 != 0})
		}
	}
	return all
}

// read is what the upstream has of a text before it splits it: decoded, and with its own separators turned into /.
func (u upstream) read(text string) string {
	for i := range u.decodes {
		if u.cutsParameters && i == u.decodes-1 {
			text = cutParameters(text)
		}
		text = decodeBy(text)
	}
	if u.turnsBackslash {
		text = strings.ReplaceAll(text, `\`, "/")
	}
	if u.stopsAtNUL {
		text, _, _ = strings.Cut(text, "\x00")
	}
	if u.cutsParameters {
		text = cutParameters(text)
	}
	return text
}

// segments is what it then serves: the names that are left when dots are resolved and slashes are merged.
func (u upstream) segments(path string) []string {
	var stack []string
	for _, name := range strings.Split(u.read(path), "/") {
		name = u.name(name)
		switch name {
		case "..":
			stack = stack[:max(len(stack)-1, 0)]
		case "", ".":
		default:
			stack = append(stack, name)
		}
	}
	return stack
}

func (u upstream) name(segment string) string {
	if u.splitsFirst {
		segment = decodeBy(segment)
	}
	if trimmed := strings.TrimRight(segment, " "); u.trimsWhiteSpace {
		if strings.Trim(trimmed, ".") != "" {
			trimmed = strings.TrimRight(trimmed, ". ")
		}
		return trimmed
	}
	return segment
}

func cutParameters(path string) string {
	if !strings.Contains(path, ";") {
		return path
	}
	return parametersBy.ReplaceAllString(path, "")
}

var (
	parametersBy = regexp.MustCompile(`;[^/]*`)
	encodedBy    = regexp.MustCompile(`%[0-9a-fA-F]{2}`)

	// Nobody could read these in two ways.
	harmlessBy = regexp.MustCompile(`^(/[-_~A-Za-z0-9][-_~.A-Za-z0-9]*)+/?$`)
)

func decodeBy(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	return encodedBy.ReplaceAllStringFunc(text, func(escape string) string {
		decoded, err := url.PathUnescape(escape)
		if err != nil {
			panic(err) // the expression says that it is one
		}
		return decoded
	})
}

// FuzzSecondReading resolves paths that were accepted as upstreams of many kinds do. Each of them has to find as many
// names as the path has between its slashes, and each name has to be that of the gateway, read in the upstream's way: so
// whatever was decided of a prefix of the path, of a name in it, or of how many there are, holds at the upstream too.
func FuzzSecondReading(f *testing.F) {
	for _, seed := range []string{
		"/a/b", "/a/../b", "/a/%2e%2e/b", "/a/..;/b", `/a/..\b`, "/a/%252e./b", "/a/%25%32%66", "/a//b", "/a/;/b", "/;x/b", "/a/%3b/b", "/a/..%3bx/b", "/a;x=%2fb/c",
		"/a/%25%33%62/b", "/a/.%00./b", "/a/%20/b", "/a/..%20/b", "/a/. ./b", "/a/%c0%ae%c0%ae/b", "/a/%ef%bc%8e%ef%bc%8e/b", "/a/.../b", "/a/b%2500", "/a/%2525252e/b",
		"/%2e", "/.", "/..", "/", "/a/", "/a;/..;/b", "/a%5c..%5cb", "/a/%09/b", "/a/b%3fc", "/a/b%23c", "/a/100%25", "/a/manual__2026-01-01T00:00:00%2B00:00", "/a/..%c2%85/b",
	} {
		f.Add(seed)
	}
	kinds := upstreams()
	f.Fuzz(func(t *testing.T, path string) {
		target, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") || target.Opaque != "" || len(path) > 1<<10 {
			return
		}
		path, _, _ = strings.Cut(path, "?")
		refused := CheckPath(target, nil)
		if harmlessBy.MatchString(path) && refused != nil {
			t.Fatalf("%q is refused: %v", path, refused)
		}
		if refused != nil {
			return
		}
		sent := target.EscapedPath() // what the upstream gets
		names := strings.Split(strings.Trim(sent, "/"), "/")
		if names[0] == "" {
			names = nil
		}
		for _, kind := range kinds {
			var want []string
			for _, name := range names {
				want = append(want, kind.name(kind.read(name)))
			}
			if got := kind.segments(sent); !slices.Equal(got, want) {
				t.Fatalf("%q was accepted. To the upstream %s it is %q, want %q", path, kind, got, want)
			}
		}
	})
}

func (u upstream) String() string {
	type plain upstream
	return fmt.Sprintf("%+v", plain(u))
}
