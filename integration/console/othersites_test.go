package console

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// A target is a request that a page of another site has the browser send.
type target struct {
	Method string `json:"method"`
	URL    string `json:"url"`
}

// attackFrom is a program of a page that has the browser send a request in every way that a page has, with whatever the
// browser knows of the other site. It returns what the page could read of the answers.
const attackFrom = `async ({method, url}) => {
	const read = [];
	const shown = (element, to) => new Promise((done) => {
		element.onload = () => done(true);
		element.onerror = () => done(false);
		setTimeout(() => done(false), 3000);
		element.src = to;
		document.body.append(element);
	});
	const json = '{"name": "mine", "role": "admin"}';
	const form = new FormData();
	form.append("name", "mine");
	const bodies = method === "GET" || method === "DELETE" ? [undefined] : [undefined, json, new URLSearchParams({name: "mine"}), form];
	for (const body of bodies) {
		for (const options of [
			{mode: "no-cors"}, {mode: "cors"}, {mode: "cors", referrerPolicy: "no-referrer"},
			{mode: "cors", headers: {"Content-Type": "application/json", "X-Requested-With": "deployment-console"}},
		]) {
			try {
				const answer = await fetch(url, {method, body, credentials: "include", ...options});
				if (answer.type !== "opaque") read.push("fetch: " + answer.status + " " + (await answer.text()).slice(0, 80));
			} catch {}
		}
	}
	if (method === "GET") {
		if (await shown(new Image(), url)) read.push("picture");
		if (await shown(document.createElement("script"), url)) read.push("script");
		const frame = document.createElement("iframe");
		await shown(frame, url);
		try { if (frame.contentDocument?.body?.innerText) read.push("frame: " + frame.contentDocument.body.innerText); } catch {}
		await new Promise((done) => {
			const socket = new WebSocket(url.replace("http", "ws"));
			socket.onopen = () => { read.push("socket"); done(); };
			socket.onerror = done;
			setTimeout(done, 3000);
		});
	}
	if (method === "POST") {
		for (const enctype of ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]) {
			const sink = document.createElement("iframe");
			sink.name = "sink" + Math.random();
			document.body.append(sink);
			const form = document.createElement("form");
			Object.assign(form, {method, action: url, enctype, target: sink.name});
			form.innerHTML = '<input name=\'{"name": "mine", "x": "\' value=\'"}\'>';
			document.body.append(form);
			await new Promise((done) => { sink.onload = done; setTimeout(done, 3000); form.submit(); });
			try { if (sink.contentDocument?.body?.innerText) read.push("form: " + sink.contentDocument.body.innerText); } catch {}
		}
	}
	return read;
}`

// naive is a server that lets everybody do everything, and keeps how it was asked.
type naive struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func startNaive(t *testing.T) *naive {
	t.Helper()
	n := new(naive)
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		contentType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		n.mu.Lock()
		n.asked = append(n.asked, strings.TrimSpace(r.Method+" "+contentType+" "+r.Header.Get("Upgrade")))
		n.mu.Unlock()
		if origin := r.Header.Get("Origin"); origin != "" {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Allow-Credentials", "true")
			w.Header().Set("Access-Control-Allow-Headers", "content-type, x-requested-with")
			w.Header().Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!DOCTYPE html><title>A page</title><body>1</body>")
	}))
	t.Cleanup(n.Close)
	return n
}

// strangersName has this machine's address to the browsers of these tests: see startBrowser.
const strangersName = "rebound.evil.test"

// TestOtherSitesReadAndChangeNothing attacks the console, where the browser's user is signed in, POST /token, and Caddy's
// admin endpoint, which knows no users: from pages of other ports, and of other sites.
func TestOtherSitesReadAndChangeNothing(t *testing.T) {
	t.Parallel()
	s := startSite(t, embedded(t))
	s.newDeployment(t, "etl", "Nightly ETL")
	key := s.NewKey(t, "etl")
	b := openBrowser(t, s, admin)
	attacker, easy := startNaive(t), startNaive(t)
	config := func() string {
		return s.state(t) + string(gatewaytest.Call(t, http.MethodGet, s.Admin("/config/"), nil).Want(http.StatusOK).Body)
	}
	before := config()
	api := []struct{ method, path string }{
		{"GET", "/deployments"},
		{"GET", "/deployments/etl/keys"},
		{"POST", "/deployments/etl/keys"},
		{"POST", "/deployments/etl/revoke_tokens"},
		{"POST", "/deployments/etl/keys/" + key.ID + "/rotate"},
		{"POST", "/deployments/etl/keys/" + key.ID + "/revoke_tokens"},
		{"DELETE", "/deployments/etl/keys/" + key.ID},
		{"PUT", "/deployments/etl/members/" + viewer},
		{"PATCH", "/deployments/etl"},
	}
	targets := []target{
		{"POST", s.origin() + "/token"},
		{"GET", s.origin() + "/api/me"},
		{"GET", s.origin() + "/deployments/etl"},
		{"GET", s.Admin("/config/")},
		{"POST", s.Admin("/load")},
		{"POST", s.Admin("/stop")},
		{"POST", s.Admin("/tokens/revoke_all")},
		{"POST", s.Admin("/signing_keys/rotate")},
	}
	for _, call := range api {
		targets = append(targets, target{call.method, s.origin() + "/api" + call.path}, target{call.method, s.Admin(call.path)})
	}
	port := func(address string) string {
		_, port, err := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	attack := func(to target) []string { return eval[[]string](b, attackFrom, to) }
	for _, host := range []string{"127.0.0.1", "evil.test"} {
		b.do(chromedp.Navigate("http://" + net.JoinHostPort(host, port(attacker.URL))))
		for _, to := range targets {
			if read := attack(to); len(read) > 0 {
				t.Errorf("%s %s: a page at %s can read %q", to.Method, to.URL, host, read)
			}
		}
		// The same program does all of it where nobody is on guard.
		var read []string
		for _, method := range []string{"GET", "POST", "DELETE"} {
			read = append(read, attack(target{method, easy.URL + "/"})...)
		}
		if len(read) == 0 {
			t.Errorf("a page at %s could read nothing of a server that allows it", host)
		}
	}
	easy.mu.Lock()
	asked := slices.Compact(slices.Sorted(slices.Values(easy.asked)))
	easy.mu.Unlock()
	for _, want := range []string{"GET", "GET  websocket", "POST", "POST application/json", "POST application/x-www-form-urlencoded", "POST multipart/form-data", "POST text/plain", "DELETE"} {
		if !slices.Contains(asked, want) {
			t.Errorf("the program has not asked %q, but %q", want, asked)
		}
	}
	if after := config(); after != before {
		t.Errorf("something was changed:\n%s\nbefore:\n%s", after, before)
	}
	b.mu.Lock()
	console := strings.Join(b.console, "\n")
	b.mu.Unlock()
	if !strings.Contains(console, "frame-ancestors") {
		t.Errorf("the console was put in a frame: %s", console)
	}

	// A stranger's name that has come to have the address of this machine: their page is of the same origin then, to the
	// browser, as what it asks. Of the console it shows nothing at all then: there is no password for that name.
	for _, test := range []struct{ of, path string }{{s.Admin(""), "/deployments"}, {easy.URL, "/"}} {
		rebound := "http://" + net.JoinHostPort(strangersName, port(test.of))
		b.do(chromedp.Navigate(rebound + test.path))
		statuses := eval[[]int](b, `async (path) => {
			const statuses = [];
			for (const method of ["GET", "POST", "DELETE"]) {
				const answer = await fetch(path, {method, headers: {"X-Requested-With": "deployment-console"}});
				statuses.push(answer.status);
			}
			return statuses;
		}`, test.path)
		refused := !slices.ContainsFunc(statuses, func(status int) bool { return status != http.StatusForbidden })
		if len(statuses) != 3 || refused != (test.of != easy.URL) {
			t.Errorf("%s under a stranger's name answers %v", test.of, statuses)
		}
	}
	if after := config(); after != before {
		t.Errorf("something was changed under a stranger's name:\n%s\nbefore:\n%s", after, before)
	}
	// Who is signed in can do it from the console's own page, so it was not for want of a password.
	b.open("/deployments")
	if status := b.fetch("POST", "/api/deployments/etl/keys/"+key.ID+"/revoke_tokens", ""); status != http.StatusNoContent {
		t.Errorf("the own page was answered %d", status)
	}
}
