package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/term"
)

// This file keeps a terminal from obeying what others have written: names, claims of a token, the name of a certificate.

// plain makes a text that a terminal shows as it is: what is in a name, or in a token, others have written.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// plainJSON is the same JSON, with what a terminal would not show as it is written as \u and four digits. JSON itself
// wants that of the control characters of ASCII alone, and not of those after it, with which escape sequences begin too,
// or of those that turn a line around.
func plainJSON(value []byte) []byte {
	plain := make([]byte, 0, len(value))
	for len(value) > 0 {
		r, size := utf8.DecodeRune(value)
		switch {
		case r < 0x7f || unicode.IsPrint(r) && (r != utf8.RuneError || size > 1):
			plain = append(plain, value[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			plain = fmt.Appendf(plain, `\u%04x\u%04x`, high, low)
		default:
			plain = fmt.Appendf(plain, `\u%04x`, r)
		}
		value = value[size:]
	}
	return plain
}

// isTerminal reports whether what is written there is shown to somebody at once.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
