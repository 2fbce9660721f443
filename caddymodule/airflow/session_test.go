package airflow

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// rawServer answers each connection with the same bytes, and says where it is.
func rawServer(t *testing.T, answer string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				buffer := make([]byte, 64<<10)
				if _, err := connection.Read(buffer); err == nil {
					_, _ = io.WriteString(connection, answer)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// An Airflow that is badly set up, or what is there in its place, repeats the password in all that an
// error of net/http could repeat.
func TestPasswordThatAirflowRepeatsIsNotLogged(t *testing.T) {
	t.Parallel()
	const password = "of-the-gateway"
	for name, test := range map[string]struct{ answer, want string }{
		"reason phrase":     {"HTTP/1.1 401 no user with password " + password + "\r\nContent-Length: 0\r\n\r\n", "the answer is 401 Unauthorized"},
		"unknown status":    {"HTTP/1.1 599 " + password + "\r\nContent-Length: 0\r\n\r\n", "the answer is 599"},
		"body":              {"HTTP/1.1 422 x\r\nContent-Length: 14\r\n\r\n" + password, "the answer is 422 Unprocessable Entity"},
		"redirect":          {"HTTP/1.1 302 x\r\nLocation: /login?password=" + password + "\r\nContent-Length: 0\r\n\r\n", "the answer is 302 Found"},
		"redirect, no URL":  {"HTTP/1.1 302 x\r\nLocation: /%zz" + password + "\r\nContent-Length: 0\r\n\r\n", "cannot be read"},
		"no HTTP":           {`{"password":"` + password + `"}` + "\r\n\r\n", "cannot be read"},
		"no status":         {"HTTP/1.1 " + password + " x\r\n\r\n", "cannot be read"},
		"no header":         {"HTTP/1.1 401 x\r\n" + password + "\r\n\r\n", "cannot be read"},
		"no trailer":        {"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + password + "\r\n\r\n", "cannot be read"},
		"no token":          {"HTTP/1.1 200 x\r\nContent-Length: 14\r\n\r\n" + password, "no access_token"},
		"nothing at all":    {"", "cannot be read"},
		"nothing but a cut": {"HTTP/1.1 200 x\r\nContent-Length: 14\r\n\r\n", "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakeAirflow()
			h := newTestLogin(f)
			app := new(testGateway)
			h.app = app
			h.session = newSession("http://"+rawServer(t, test.answer)+"/etl", "gateway", password)
			w := ask(t, h, f, http.MethodGet, "/etl/api/v2/dags", "")
			wantStatus(t, w, http.StatusServiceUnavailable)
			if text := fmt.Sprint(app.faults); !strings.Contains(text, test.want) || strings.Contains(text+w.Body.String(), password) {
				t.Errorf("logged is %q, want %q in it and no password", text, test.want)
			}
		})
	}
}

// What can be told is: whoever reads the log has to find out what is wrong.
func TestAirflowThatIsNotThereIsLogged(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	answering := rawServer(t, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
	for base, want := range map[string]string{
		"http://" + address:    "refused",
		"https://" + answering: "server gave HTTP response to HTTPS client",
	} {
		_, err := newSession(base, "gateway", "pw").login()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), base+"/auth/token") {
			t.Errorf("%s: the error is %v, want %q in it", base, err, want)
		}
	}
}

// slowLogin is an Airflow that takes its time.
type slowLogin struct {
	*fakeAirflow
	takes time.Duration
}

func (s slowLogin) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(s.takes)
	return s.fakeAirflow.RoundTrip(r)
}

// While one login is under way, the requests that need not wait for it leave nothing behind. The test is
// not parallel: it counts allocations.
func TestRenewalOfAnAirflowLoginIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeAirflow()
		h := newTestLogin(f)
		wantStatus(t, ask(t, h, f, http.MethodGet, "/etl/api/v2/dags", ""), http.StatusOK)
		h.session.client.Transport = slowLogin{f, 4 * time.Second}
		time.Sleep(50 * time.Minute)
		use := func() {
			if _, err := h.session.token(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		use()
		synctest.Wait()
		if !h.session.renewing.Load() {
			t.Error("no renewal is under way")
		}
		if allocated := testing.AllocsPerRun(100, use); allocated > 0 {
			t.Errorf("each request during a renewal makes %v allocations", allocated)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if f.logins != 2 || h.session.renewing.Load() {
			t.Errorf("%d logins, want 2; a renewal is under way: %t", f.logins, h.session.renewing.Load())
		}
		// Another one can be begun, also after one that failed.
		f.fail = http.StatusUnauthorized
		time.Sleep(50 * time.Minute)
		use()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		f.fail = 0
		time.Sleep(loginInterval)
		use()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if f.logins != 4 {
			t.Errorf("%d logins, want 4", f.logins)
		}
	})
}
