package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A generator makes values from the schemas of requests, and spoils them.
type generator struct {
	d      *apiDocument
	random *rand.Rand

	patterns map[string]*regexp.Regexp
}

// saidInWords are schemas of which the examples alone are sure to be accepted.
var saidInWords = []string{
	"/components/schemas/AddressBlock", "/components/schemas/Address", "/components/schemas/Expiry",
	"/components/schemas/KeyRotation/properties/overlap",
}

// pick is one of a list.
func pick[T any](random *rand.Rand, list ...T) T { return list[random.IntN(len(list))] }

// value is one that a schema accepts.
func (g *generator) value(schema string) any {
	node := g.d.node(schema)
	if reference, ok := node["$ref"].(string); ok {
		return g.value(strings.TrimPrefix(reference, "#"))
	}
	if constant, ok := node["const"]; ok {
		return constant
	}
	if enum, ok := node["enum"].([]any); ok {
		return pick(g.random, enum...)
	}
	if branches, ok := node["anyOf"].([]any); ok && node["examples"] == nil {
		return g.value(at(schema, "anyOf", strconv.Itoa(g.random.IntN(len(branches)))))
	}
	switch node["type"] {
	case "string":
		if examples, _ := node["examples"].([]any); slices.Contains(saidInWords, schema) {
			return pick(g.random, examples...)
		}
		return g.text(node)
	case "boolean":
		return g.random.IntN(2) == 0
	case "integer":
		least, most := number(node["minimum"], 0), number(node["maximum"], 1_000)
		return pick(g.random, least, most, least+g.random.IntN(most-least+1))
	case "array":
		list := []any{}
		for range number(node["minItems"], 0) + g.random.IntN(4) {
			list = append(list, g.value(at(schema, "items")))
		}
		return list
	case "object":
		made := jsonObject{}
		required, _ := node["required"].([]any)
		for _, name := range slices.Sorted(maps.Keys(g.d.node(at(schema, "properties")))) {
			if slices.Contains(required, any(name)) || g.random.IntN(2) == 0 {
				made[name] = g.value(at(schema, "properties", name))
			}
		}
		return made
	}
	panic(fmt.Sprintf("the schema %s is of a kind that the generator does not make: %v", schema, node))
}

// number is what a schema says, or else.
func number(value any, otherwise int) int {
	if n, err := strconv.Atoi(fmt.Sprint(value)); err == nil {
		return n
	}
	return otherwise
}

// text is an example, or of a length within the bounds where the pattern allows for it.
func (g *generator) text(node jsonObject) string {
	examples, _ := node["examples"].([]any)
	if len(examples) > 0 && g.random.IntN(3) == 0 {
		return pick(g.random, examples...).(string)
	}
	least, most := number(node["minLength"], 0), number(node["maxLength"], 200)
	for range 4 {
		length := pick(g.random, least, most, least+g.random.IntN(most-least+1), least+g.random.IntN(min(most-least+1, 20)))
		made := g.letters(length, pick(g.random, "abcdefghijklmnopqrstuv0123456789", "abc-XYZ_019.:/ \n\"\\<&", "aé世😀 ñ"))
		if pattern, _ := node["pattern"].(string); pattern == "" || g.pattern(pattern).MatchString(made) {
			return made
		}
	}
	if len(examples) == 0 {
		return g.letters(max(least, 1), "a")
	}
	return pick(g.random, examples...).(string)
}

func (g *generator) letters(length int, alphabet string) string {
	runes := []rune(alphabet)
	var made strings.Builder
	for range length {
		made.WriteRune(pick(g.random, runes...))
	}
	return made.String()
}

func (g *generator) pattern(text string) *regexp.Regexp {
	if g.patterns[text] == nil {
		if g.patterns == nil {
			g.patterns = make(map[string]*regexp.Regexp)
		}
		g.patterns[text] = regexp.MustCompile(text)
	}
	return g.patterns[text]
}

// oddTexts are such as make parsers stumble. None has a quotation mark.
var oddTexts = []string{
	"", " ", ".", "..", "-", "*", "%", "%00", "%2F", "%2E%2E", "%C0%AF", "%FF", "a\u0000b", "\u202egnp", "a\u200fb", "\u007f", "\u0085", "\u00a0",
	"DEP", "a_b", "-a", "a-", "etl.", "null", "true", "0", "-1", "1e9", "007", "+5", "501", "99999999999999999999", "NaN",
	"2030-02-30T00:00:00Z", "2030-01-01", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2030-01-01t00:00:00z",
	"10.0.0.0/33", "::ffff:10.0.0.0/8", "fe80::1%eth0", "1.2.3", "-1h", "169h", "1 h", "9223372036854775807ns", "292y",
	"../../etc/passwd", "etl;a=b", "a?b", "a#b", "a/b", "{deployment}", "$ref", "__proto__", "héllo", "😀",
}

// oddText is one of those, or a long one.
func (g *generator) oddText() string {
	if g.random.IntN(8) == 0 {
		return strings.Repeat(pick(g.random, "a", "é", "0"), pick(g.random, 63, 64, 128, 129, 256, 257, 1024, 1025, 5_000))
	}
	return pick(g.random, oddTexts...)
}

// oddValue is of any type.
func (g *generator) oddValue() any {
	return pick[any](g.random, nil, true, false, 0, -1, 1.5, 1e300, g.oddText(), g.oddText(), []any{}, []any{nil}, []any{g.oddText()}, []any{[]any{}}, jsonObject{}, jsonObject{"a": 1})
}

// spoil makes the text of a body another one, which may still be good.
func (g *generator) spoil(body any, schema string) string {
	made, _ := body.(jsonObject)
	if made == nil {
		made = jsonObject{}
	}
	names := slices.Sorted(maps.Keys(made))
	known := slices.Sorted(maps.Keys(g.d.node(at(g.d.resolve(schema), "properties"))))
	if len(known) == 0 {
		known = []string{"name"}
	}
	encoded := func(value any) string {
		text, err := json.Marshal(value)
		if err != nil {
			panic(err)
		}
		return string(text)
	}
	name := pick(g.random, known...)
	switch g.random.IntN(16) {
	case 0, 1, 2, 3:
		made[name] = g.oddValue()
	case 4, 5:
		made[name] = g.oddText()
	case 6:
		made[pick(g.random, strings.ToUpper(name), name+" ", "", "id", "secret", "created_by", "__proto__", g.oddText())] = g.oddValue()
	case 7:
		if len(names) > 0 {
			delete(made, pick(g.random, names...))
		}
	case 8: // there twice
		text := encoded(made)
		return strings.TrimSuffix(text, "}") + strings.Repeat(",", min(len(made), 1)) + encoded(name) + ":" + encoded(g.oddValue()) + "," + encoded(name) + `:"a"}`
	case 9: // cut off
		text := encoded(made)
		return text[:g.random.IntN(len(text))]
	case 10:
		return encoded(made) + pick(g.random, "{}", "x", ",", "\x00", " \n", "]")
	case 11:
		return encoded(pick[any](g.random, nil, true, 7, "text", []any{made}, []any{}))
	case 12:
		depth := pick(g.random, 14, 15, 16, 17, 1_000)
		return `{"` + name + `":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}"
	case 13:
		return `{"` + name + `":"` + pick(g.random, "\xff", "\xc0\xaf", `\ud800`, `\u0000`, "\n", `\x`, "\xed\xa0\x80") + `"}`
	case 14: // just within what a body may have, and beyond
		made[name] = strings.Repeat("a", maxBody-len(encoded(made))-len(name)-12+g.random.IntN(24))
	case 15:
		return pick(g.random, "", " ", "\ufeff{}", "{", "name=value", "<a/>", "\x00", "{}{}", `{"a":NaN}`, `{1:2}`)
	}
	return encoded(made)
}
