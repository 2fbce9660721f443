package keystore

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/blake2b"
)

// fuzzVault is the same in each process: what one process of a fuzzer has found is tried by others.
func fuzzVault(tb testing.TB) *vault {
	tb.Helper()
	v, err := newVault(make([]byte, vaultKeySize))
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// digits32 is a text of base32 as one number, by big.Int and not by package encoding/base32: the bytes that it says, and
// whether there is nothing but zeros in the bits that the last character has beyond them.
func digits32(text, alphabet string, size int) (raw []byte, exact bool) {
	number := new(big.Int)
	for _, c := range []byte(text) {
		number.Lsh(number, 5)
		number.Or(number, big.NewInt(int64(strings.IndexByte(alphabet, c))))
	}
	spare := uint(5*len(text) - 8*size)
	whole := new(big.Int).Rsh(number, spare)
	exact = new(big.Int).Lsh(whole, spare).Cmp(number) == 0
	return whole.FillBytes(make([]byte, size)), exact
}

// FuzzParseSecret holds the text form of secrets against a second reading: an expression, a big number and CRC-32. The
// random part of a secret always has a text that is read, and no other text of one character more, less or else is.
func FuzzParseSecret(f *testing.F) {
	s := Secret{valid: true}
	f.Add(s.Reveal(), s.random[:], 0, byte('a'))
	f.Add("dks_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp3xhklii", []byte("x"), 61, byte('j'))
	f.Add("dks_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp3xhklij", []byte("x"), 4, byte('A'))
	f.Add("dks_", []byte{}, 2, byte(' '))
	f.Add("DKS_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp3xhklii", bytes.Repeat([]byte{0xff}, secretSize), 10, byte(0))
	form := regexp.MustCompile(`^dks_([a-z2-7]{58})$`)
	f.Fuzz(func(t *testing.T, text string, random []byte, at int, c byte) {
		want := false
		if parts := form.FindStringSubmatch(text); parts != nil {
			raw, exact := digits32(parts[1], "abcdefghijklmnopqrstuvwxyz234567", 36)
			want = exact && crc32.ChecksumIEEE(append([]byte("dks_"), raw[:32]...)) == binary.BigEndian.Uint32(raw[32:])
		}
		read, err := ParseSecret(text)
		switch {
		case want != (err == nil):
			t.Fatalf("%q: error %v; the second reading accepts it: %t", text, err, want)
		case err == nil && read.Reveal() != text:
			t.Fatalf("%q is read as %q", text, read.Reveal())
		case err != nil && (!errors.Is(err, ErrInvalid) || read != Secret{} || err.Error() != errSecretForm.Error()):
			t.Fatalf("%q: %v, %q", text, err, read.Reveal())
		}

		made := Secret{valid: true}
		copy(made.random[:], random)
		whole := made.Reveal()
		if again, err := ParseSecret(whole); err != nil || again != made {
			t.Fatalf("%q was made and is not read: %v", whole, err)
		}
		at = int(uint(at) % uint(len(whole)))
		for _, mistyped := range []string{whole[:at] + string(c) + whole[at+1:], whole[:at] + whole[at+1:], whole[:at] + string(c) + whole[at:]} {
			if _, err := ParseSecret(mistyped); err == nil && mistyped != whole {
				t.Fatalf("%q is read, of the secret %q", mistyped, whole)
			}
		}
	})
}

// FuzzKeyID holds key IDs against a second reading: an expression, a big number and BLAKE2b. An ID that this store makes
// is its own, sorts by its time, and none of another character is.
func FuzzKeyID(f *testing.F) {
	v := fuzzVault(f)
	f.Add("06h00b4li1ssr29iei493tap", int64(1_700_000_000_000), 3, byte('0'))
	f.Add("06h00b4li1ssr29iei493tap ", int64(0), 23, byte('w'))
	f.Add("06H00B4LI1SSR29IEI493TAP", int64(1)<<47, 0, byte('a'))
	f.Add(v.newKeyID(time.UnixMilli(1)), int64(1)<<48-1, 10, byte('\n'))
	f.Add("", int64(2), 0, byte(0))
	for at := range keyIDTextSize {
		f.Add("", int64(3), at, byte('v'))
	}
	form := regexp.MustCompile(`^[0-9a-v]{24}$`)
	f.Fuzz(func(t *testing.T, id string, ms int64, at int, c byte) {
		if is := form.MatchString(id); is != IsKeyID(id) {
			t.Fatalf("%q has the form of a key ID: %t, to IsKeyID %t", id, is, !is)
		}
		made := false
		if IsKeyID(id) {
			raw, _ := digits32(id, "0123456789abcdefghijklmnopqrstuv", keyIDSize)
			hash, _ := blake2b.New256(v.idKey)
			hash.Write([]byte{0})
			hash.Write(raw[:11])
			made = bytes.Equal(hash.Sum(nil)[:4], raw[11:])
		}
		if got := v.madeKeyID(id); got != made {
			t.Fatalf("%q was made: %t, to madeKeyID %t", id, made, got)
		}

		ms &= 1<<48 - 2 // what the ID has room for, and one more
		own, later := v.newKeyID(time.UnixMilli(ms)), v.newKeyID(time.UnixMilli(ms+1))
		if !v.madeKeyID(own) || !v.madeKeyID(later) || own >= later {
			t.Fatalf("%q and %q were made at %d and a millisecond later", own, later, ms)
		}
		other, err := newVault(bytes.Repeat([]byte{1}, vaultKeySize))
		if err != nil {
			t.Fatal(err)
		}
		at = int(uint(at) % uint(len(own)))
		for _, changed := range []string{own[:at] + string(c) + own[at+1:], own[:at] + own[at+1:], own[:at] + string(c) + own[at:]} {
			// One in 2^32 is right by chance.
			if changed != own && v.madeKeyID(changed) {
				t.Fatalf("%q was not made, but %q", changed, own)
			}
		}
		if other.madeKeyID(own) {
			t.Fatalf("%q was made by another store", own)
		}
	})
}

// FuzzEvent holds what is read of the change log. An event that was encoded is opened as the same; but for it, nothing is
// opened: not with a byte changed, cut, moved to another record, sealed with another key, or not sealed. And what a node
// reads without the code, to forget what it is about, is what encoding/json reads.
func FuzzEvent(f *testing.F) {
	v := fuzzVault(f)
	other, err := newVault(bytes.Repeat([]byte{1}, vaultKeySize))
	if err != nil {
		f.Fatal(err)
	}
	for _, content := range []string{
		`{"kind":"key.deleted","time":"2026-03-01T12:00:00Z","by":"anna","deployment":"etl","key":"06h00b4li1ssr29iei493tap"}`,
		`{"kind":"token.revoked","time":"2026-03-01T12:00:00Z","by":"a","token":"x","set":{"reason":"y"}}`,
		`{"kind":"key.deleted","KEY":"a","key":"b","key":"c"}`, `{}`, `null`, `[]`, `{"kind":1}`, `{"kind":"of.a.newer.version","more":[1]}`, ``, `{`, "{\"by\":\"\xff\"}",
	} {
		f.Add(v.sealRecord(logName, []byte(content)), "key.deleted", "anna", "etl", 0, byte(0))
		f.Add([]byte(content), "member.put", "x\n\"", "\xff", 40, byte(1))
		f.Add(v.sealRecord("key/x", []byte(content)), "", "", "", 3, byte(128))
	}
	f.Fuzz(func(t *testing.T, stored []byte, kind, by, about string, at int, flip byte) {
		// Any bytes that somebody has put there.
		event, err := openEvent(v, stored)
		sealed := len(stored) >= codeSize && bytes.Equal(codeBy(v.recordKey, logName, stored[codeSize:]), stored[:codeSize])
		var want Event
		var wantErr error
		if len(stored) >= codeSize {
			wantErr = json.Unmarshal(stored[codeSize:], &want)
		}
		switch {
		case !sealed && !errors.Is(err, ErrAltered):
			t.Fatalf("%q was not sealed, and is opened as %+v, %v", stored, event, err)
		case !sealed && !reflect.DeepEqual(event, Event{}):
			t.Fatalf("%q was not sealed, and %+v is told of it", stored, event)
		case sealed && ((err == nil) != (wantErr == nil) || errors.Is(err, ErrAltered) || !reflect.DeepEqual(event, want)):
			t.Fatalf("%q was sealed, and is opened as %+v, %v", stored, event, err)
		}
		heard, err := DecodeEvent(stored)
		if len(stored) < codeSize {
			if err == nil {
				t.Fatalf("%q is too short, and is read as %+v", stored, heard)
			}
		} else if (err == nil) != (wantErr == nil) || !reflect.DeepEqual(heard, want) {
			t.Fatalf("%q is read as %+v, %v; encoding/json has %+v, %v", stored, heard, err, want, wantErr)
		}

		// An event that was made.
		if !utf8.ValidString(kind) || !utf8.ValidString(by) || !utf8.ValidString(about) {
			return // nothing that is checked before lets it through
		}
		made := Event{Kind: EventKind(kind), Time: time.Unix(int64(at), int64(flip)).UTC(), By: by, Deployment: about, Key: by, User: about}
		made.set("name", strings.Repeat(about, 1+len(by)%8))
		if len(made.Set["name"]) > maxSetLength+len("…") || !utf8.ValidString(made.Set["name"]) {
			t.Fatalf("a name is kept as %q", made.Set["name"])
		}
		if year := made.Time.Year(); year < 0 || year > 9999 {
			return // JSON has no such time
		}
		encoded, err := encodeEvent(v, made)
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := openEvent(v, encoded); err != nil || !reflect.DeepEqual(opened, made) {
			t.Fatalf("%+v was encoded, and is opened as %+v, %v", made, opened, err)
		}
		if heard, err := DecodeEvent(encoded); err != nil || !reflect.DeepEqual(heard, made) {
			t.Fatalf("%+v was encoded, and is read as %+v, %v", made, heard, err)
		}
		at = int(uint(at) % uint(len(encoded)))
		changed := bytes.Clone(encoded)
		changed[at] ^= max(flip, 1)
		for what, spoiled := range map[string][]byte{
			"changed": changed, "cut": encoded[:at], "cut at the beginning": encoded[at+1:], "longer": append(bytes.Clone(encoded), flip),
			"of another store": other.sealRecord(logName, encoded[codeSize:]), "of another record": v.sealRecord("key/"+about, encoded[codeSize:]),
			"without code": append(make([]byte, codeSize), encoded[codeSize:]...),
		} {
			if opened, err := openEvent(v, spoiled); !errors.Is(err, ErrAltered) {
				t.Fatalf("an event that is %s is opened as %+v, %v", what, opened, err)
			}
		}
	})
}

// codeBy is the authentication code of a record, made by itself.
func codeBy(key []byte, name string, content []byte) []byte {
	hash, err := blake2b.New256(key)
	if err != nil {
		panic(err) // only for a key of the wrong length
	}
	fmt.Fprintf(hash, "%s\x00%s", name, content)
	return hash.Sum(nil)
}

// FuzzAuditPlace holds places in the audit log, which are in cursors: a number has one text, and the texts sort the other
// way round, so that the newest comes first.
func FuzzAuditPlace(f *testing.F) {
	for _, text := range []string{"ffffffffffffffff", "fffffffffffffffe", "0000000000000000", "FFFFFFFFFFFFFFFF", "+fffffffffffffff", "0x00000000000001", "_000000000000000", "", "0"} {
		f.Add(text, uint64(1), uint64(2))
	}
	form := regexp.MustCompile(`^[0-9a-f]{16}$`)
	f.Fuzz(func(t *testing.T, text string, a, b uint64) {
		if is := form.MatchString(text); is != IsAuditPlace(text) {
			t.Fatalf("%q is a place: %t, to IsAuditPlace %t", text, is, !is)
		}
		if seq, ok := auditSeq(text); ok && AuditPlace(seq) != text {
			t.Fatalf("%q is the place of %d, which has %q", text, seq, AuditPlace(seq))
		}
		for _, n := range []uint64{a, b} {
			if seq, ok := auditSeq(AuditPlace(n)); !ok || seq != n {
				t.Fatalf("%d has the place %q, which is of %d", n, AuditPlace(n), seq)
			}
		}
		if (a < b) != (AuditPlace(a) > AuditPlace(b)) {
			t.Fatalf("%d and %d have the places %q and %q", a, b, AuditPlace(a), AuditPlace(b))
		}
	})
}
