//go:build linux

package timing

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

const (
	// fullRounds is how many requests of each class are sent where times are judged, and fewRounds where not.
	fullRounds = 100_000
	fewRounds  = 320

	// heardRounds is how many rounds come before those that count, in which the gateway hears of the keys.
	heardRounds = 32
)

// A round has one request of each class, in an order of its own, so that a machine that becomes slower or faster does so
// for all alike. For as long as a sitting each class has one key, and in the next one another: so what is asked for is asked
// for as often in each class, and is as near to the processor. All key IDs that were never made share one place in memory.
func TestRefusalsTakeTheSameTime(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		classes := newClasses(t, s)
		rounds := fewRounds
		if fullSize() {
			rounds = fullRounds
		}
		judged := judge(classes, measure(t, s, classes, rounds))
		t.Logf("figure: %s, requests in random order on one connection\n%s", t.Name(), judged.table())
		t.Logf("figure: %s, the smallest difference that would have been seen: %s", t.Name(), judged.smallestSeen())
		if fullSize() {
			judged.verdict(t)
		}
	})
}

// measure sends so many requests of each class, and returns how long each took, in nanoseconds. None is left out, but for
// the heardRounds of each sitting. Each answer has to be the same as the first, but for its date.
func measure(t *testing.T, s *site, classes []class, rounds int) [][]float64 {
	t.Helper()
	m := &measurement{prober: newProber(t, s.port), classes: classes, times: make([][]float64, len(classes))}
	for i := range classes {
		m.times[i] = make([]float64, 0, rounds)
	}
	ended := make(chan error)
	go func() {
		t.Log(alone(s))
		for sitting := range keysOfClass {
			if err := m.sit(sitting, rounds/keysOfClass); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return m.times
}

// A measurement is what measure has so far.
type measurement struct {
	*prober
	classes []class
	times   [][]float64
	want    []byte // the answer to the first request
}

// sit has so many rounds that count.
func (m *measurement) sit(sitting, rounds int) error {
	requests, order := make([][triesOfKey][]byte, len(m.classes)), make([]int, len(m.classes))
	for i, c := range m.classes {
		order[i] = i
		for j, try := range c.tries[sitting] {
			requests[i][j] = rawRequest(try.form(), "application/x-www-form-urlencoded", "")
		}
	}
	for round := -heardRounds; round < rounds; round++ {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			took, answer, err := m.probe(requests[i][rand.IntN(triesOfKey)])
			if err != nil {
				return fmt.Errorf("%s: %w", m.classes[i].name, err)
			}
			answer = withoutDate(answer)
			if m.want == nil {
				m.want = bytes.Clone(answer)
			}
			if !bytes.Equal(answer, m.want) {
				return fmt.Errorf("%s is answered\n%s\nthe first request was answered\n%s", m.classes[i].name, answer, m.want)
			}
			if round >= 0 { // before, the gateway has heard of the keys
				m.times[i] = append(m.times[i], float64(took))
			}
		}
	}
	return nil
}

// The answers are the same in each byte, in each way in which credentials can be sent, but for the date and, with Basic, the
// challenge, which all have.
func TestRefusalsAreTheSameBytes(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		classes := newClasses(t, s)
		p := newProber(t, s.port)
		for way, raw := range map[string]func(credentials) []byte{
			"form": func(c credentials) []byte {
				return rawRequest(c.form(), "application/x-www-form-urlencoded", "")
			},
			"JSON": func(c credentials) []byte {
				body, err := json.Marshal(map[string]string{"grant_type": "client_credentials", "client_id": c.id, "client_secret": c.secret})
				if err != nil {
					t.Fatal(err)
				}
				return rawRequest(string(body), "application/json", "")
			},
			"Basic": func(c credentials) []byte {
				return rawRequest("grant_type=client_credentials", "application/x-www-form-urlencoded",
					"Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(c.id+":"+c.secret))+"\r\n")
			},
		} {
			var want []byte
			for _, c := range classes {
				for _, tries := range c.tries {
					_, answer, err := p.probe(raw(tries[0]))
					if err != nil {
						t.Fatalf("%s, %s: %v", way, c.name, err)
					}
					answer = withoutDate(answer)
					if want == nil {
						want = bytes.Clone(answer)
						challenged := bytes.Contains(want, []byte("\r\nWww-Authenticate: Basic "))
						if !bytes.HasPrefix(want, []byte("HTTP/1.1 401 ")) || challenged != (way == "Basic") {
							t.Fatalf("%s: %s is answered\n%s", way, c.name, want)
						}
					}
					if !bytes.Equal(answer, want) {
						t.Fatalf("%s: %s is answered\n%s\n%s is answered\n%s", way, c.name, answer, reference, want)
					}
				}
			}
		}
		// And the key whose wrong secret it was works.
		k := s.NewKey(t, "dep1")
		s.AskToken(t, s.port, gatewaytest.Key{ID: k.ID, Secret: newSecret()}).Want(401)
		s.AskToken(t, s.port, k).Want(200)
	})
}

// rawRequest is a request to the token endpoint with more lines of header.
func rawRequest(body, contentType, lines string) []byte {
	return fmt.Appendf(nil, "POST /oauth/token HTTP/1.1\r\nHost: auth.example.com\r\n"+
		"Content-Type: %s\r\nContent-Length: %d\r\n%s\r\n%s", contentType, len(body), lines, body)
}
