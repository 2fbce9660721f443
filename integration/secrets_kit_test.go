package integration

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// leaks are secrets, and the places in which they must not be.
type leaks struct {
	names  map[string]string // what is secret, as it is: what it is
	places map[string][]byte // what was looked at
	known  map[string]string // a place that has a secret all the same: what the secret is
}

func newLeaks() *leaks {
	return &leaks{make(map[string]string), make(map[string][]byte), make(map[string]string)}
}

// secret adds a secret, and returns it.
func (l *leaks) secret(name, secret string) string {
	l.names[secret] = name
	return secret
}

// place adds what was found in a place. A place may be added to.
func (l *leaks) place(name, content string) {
	l.places[name] = append(append(l.places[name], content...), '\n')
}

// keep adds an answer of the gateway, which the client may log.
func (l *leaks) keep(name string, answer reply) reply {
	l.place("answer: "+name, fmt.Sprintf("%v\n%s", answer.Header, answer.Body))
	return answer
}

// leastWriting is the shortest text that is looked for, in bytes.
const leastWriting = 8

// writings are the ways to write a secret: the bytes, and how they are made. Half of what is shown is a secret if the
// other half is shown elsewhere, so halves are looked for too.
func writings(secret string) map[string]string {
	parts := map[string][]byte{"it": []byte(secret)}
	random := func(decoded []byte, err error) {
		if err == nil && len(decoded) >= 16 {
			parts["what it encodes"] = decoded
		}
	}
	random(base64.StdEncoding.DecodeString(secret))
	random(hex.DecodeString(secret))
	if text, ok := strings.CutPrefix(secret, "dks_"); ok {
		decoded, err := secretAlphabet.DecodeString(text)
		random(decoded[:min(32, len(decoded))], err)
		parts["its first half"], parts["its second half"] = []byte(text[:len(text)/2]), []byte(text[len(text)/2:])
	}
	if signed, signature, ok := cutLast(secret, "."); ok && strings.HasPrefix(secret, "ey") {
		parts["its signature"], parts["what is signed"] = []byte(signature), []byte(signed)
		decoded, err := base64.RawURLEncoding.DecodeString(signature)
		random(decoded, err)
	}
	ways := make(map[string]string)
	for name, part := range parts {
		for how, text := range encodings(part) {
			if len(text) >= leastWriting {
				ways[text] = name + how
			}
		}
	}
	return ways
}

func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}

// encodings are the ways in which programs write bytes.
func encodings(content []byte) map[string]string {
	escaped, _ := json.Marshal(string(content)) // of a string that has no error
	ways := map[string]string{
		"":                   string(content),
		" in hexadecimal":    hex.EncodeToString(content),
		" in HEXADECIMAL":    strings.ToUpper(hex.EncodeToString(content)),
		" in base32":         base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(content),
		" in JSON":           strings.Trim(string(escaped), `"`),
		" in a query":        url.QueryEscape(string(content)),
		" in a path":         url.PathEscape(string(content)),
		" quoted":            strings.Trim(fmt.Sprintf("%q", content), `"`),
		" as fmt prints it":  strings.Trim(fmt.Sprint(content), "[]"),
		" as Go writes it":   strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", content), "[]byte{"), "}"),
		" as a stack has it": strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", content[:min(4, len(content))]), "[]byte{"), "}"),
	}
	// In base64 it depends on what is before, by three, and where it ends on what is after.
	for before := range 3 {
		for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			text := encoding.EncodeToString(append(make([]byte, before), content...))
			ways[fmt.Sprintf(" in %s after %d bytes", name, before)] = text[(before*8+5)/6 : (before+len(content))*8/6]
		}
	}
	return ways
}

// A writing is one way to write one secret.
type writing struct{ secret, how, text string }

// index is what finds all writings in one go.
func (l *leaks) index() map[[leastWriting]byte][]writing {
	index := make(map[[leastWriting]byte][]writing)
	for secret := range l.names {
		for text, how := range writings(secret) {
			begin := [leastWriting]byte([]byte(text))
			index[begin] = append(index[begin], writing{secret, how, text})
		}
	}
	return index
}

// find are the writings that are in a content, and where each of them is first.
func find(index map[[leastWriting]byte][]writing, content []byte) map[writing]int {
	found := make(map[writing]int)
	for i := 0; i+leastWriting <= len(content); i++ {
		for _, w := range index[[leastWriting]byte(content[i:])] {
			if _, again := found[w]; !again && bytes.HasPrefix(content[i:], []byte(w.text)) {
				found[w] = i
			}
		}
	}
	return found
}

// check holds that no place has a secret, but for those that are known to, which do; and that each way to write each
// secret would have been found in each kind of place. The kind is what a name has before its colon.
func (l *leaks) check(t *testing.T) {
	t.Helper()
	index, size := l.index(), 0
	var planted []byte
	all := make(map[writing]bool)
	for _, writings := range index {
		for _, w := range writings {
			all[w] = true
			planted = append(append(planted, w.text...), '\n')
		}
	}
	kinds := make(map[string]bool)
	for _, place := range slices.Sorted(maps.Keys(l.places)) {
		content := l.places[place]
		size += len(content)
		found, knownThere := find(index, content), false
		for w, at := range found {
			if name := l.names[w.secret]; name == l.known[place] {
				knownThere = true
			} else {
				from := max(bytes.LastIndexByte(content[:at], '\n')+1, at-300)
				t.Errorf("%s (%s) is in %s, after %q", name, w.how, place, content[from:at])
			}
		}
		if known, ok := l.known[place]; ok && !knownThere {
			t.Errorf("%s is not in %s: it is known that it is, or the test looks at the wrong thing", known, place)
		}
		if kind, _, _ := strings.Cut(place, ":"); !kinds[kind] {
			kinds[kind] = true
			middle := len(content) / 2
			found = find(index, slices.Concat(content[:middle], planted, content[middle:]))
			if len(found) < len(all) {
				t.Errorf("in %s, %d of %d writings would not be found", kind, len(all)-len(found), len(all))
			}
		}
	}
	t.Logf("%d secrets in %d writings, looked for in %d places with %d bytes", len(l.names), len(all), len(l.places), size)
}
