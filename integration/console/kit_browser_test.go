package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// browser is a tab of a Chromium that a test has for itself, and in which one user is signed in. What nobody should see
// is an error of the test: words in the console, dialogs of scripts, requests to other origins.
type browser struct {
	t    *testing.T
	ctx  context.Context
	site *site

	mu       sync.Mutex
	console  []string // messages, exceptions and reports
	requests []string // URLs
	dialogs  []string // what scripts or the browser asked
}

// openBrowser starts a Chromium, and signs a user in to the console.
func openBrowser(t *testing.T, s *site, user string) *browser {
	t.Helper()
	b := startBrowser(t, s)
	b.signIn(user)
	return b
}

func startBrowser(t *testing.T, s *site) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: run tools/install-needs", err)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()),
		// The tests run as root in containers, where its sandbox cannot be. It visits pages of this test alone.
		chromedp.NoSandbox,
		chromedp.Flag("lang", "en-US"),
		// A stranger's names have the address of this machine, as they may come to have everywhere.
		chromedp.Flag("host-resolver-rules", "MAP evil.test 127.0.0.1, MAP *.evil.test 127.0.0.1"),
		chromedp.Env("TZ=Europe/Berlin"),
	)
	// Not the context of the test, which ends before its cleanup: a test that failed tells what the page shows.
	allocated, stop := chromedp.NewExecAllocator(context.Background(), options...)
	b := &browser{t: t, site: s}
	ctx, cancel := chromedp.NewContext(allocated, chromedp.WithListener(b.hear), chromedp.WithErrorf(func(string, ...any) {}))
	b.ctx = ctx
	t.Cleanup(func() {
		if t.Failed() {
			b.report()
		}
		cancel()
		stop()
	})
	// The browser lives as long as the context of what it is first told to do.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 800)); err != nil {
		t.Fatal(err)
	}
	b.must(chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}))
	b.scheme("light")
	b.must(chromedp.CallBrowser(ctx, cdpbrowser.SetPermission, cdpbrowser.SetPermissionParams{
		Permission: &cdpbrowser.PermissionDescriptor{Name: "clipboard-read"}, Setting: cdpbrowser.PermissionSettingGranted,
	}))
	return b
}

// hear keeps what the browser tells.
func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch event := event.(type) {
	case *runtime.EventConsoleAPICalled:
		var words []string
		for _, argument := range event.Args {
			words = append(words, string(argument.Value)+argument.Description)
		}
		b.console = append(b.console, "console: "+strings.Join(words, " "))
	case *runtime.EventExceptionThrown:
		text := event.ExceptionDetails.Text
		if thrown := event.ExceptionDetails.Exception; thrown != nil {
			text += " " + thrown.Description
		}
		b.console = append(b.console, "exception: "+text)
	case *log.EventEntryAdded:
		b.console = append(b.console, fmt.Sprintf("%s: %s (%s)", event.Entry.Level, event.Entry.Text, event.Entry.URL))
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, event.Request.URL)
	case *page.EventJavascriptDialogOpening:
		b.dialogs = append(b.dialogs, fmt.Sprintf("%s: %s", event.Type, event.Message))
		// Not from here: this is the goroutine that would read the answer.
		go func() {
			_, _ = chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		}()
	}
}

// wantQuiet fails the test if anything happened that nobody should see. A message with one of the words in expected is let
// pass.
func (b *browser) wantQuiet(expected ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, message := range b.console {
		if !slices.ContainsFunc(expected, func(word string) bool { return strings.Contains(message, word) }) {
			b.t.Errorf("the browser's console has: %s", message)
		}
	}
	for _, dialog := range b.dialogs {
		b.t.Errorf("a dialog that is not of the page: %s", dialog)
	}
	for _, request := range b.requests {
		if !strings.HasPrefix(request, b.site.origin()+"/") {
			b.t.Errorf("a request to another origin: %s", request)
		}
	}
}

// report logs what the page shows, for a test that failed.
func (b *browser) report() {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.t.Logf("the page (%v):\n%s\nconsole: %q\ndialogs: %q", err, text, b.console, b.dialogs)
}

// signIn opens the console as a user. The browser keeps the password, as it does for one who types it.
func (b *browser) signIn(user string) {
	b.t.Helper()
	start, err := url.Parse(b.site.origin() + "/deployments")
	if err != nil {
		b.t.Fatal(err)
	}
	start.User = url.UserPassword(user, password)
	b.do(chromedp.Navigate(start.String()))
	// Pages whose own address has a password in it may make no requests.
	b.open("/deployments")
	b.settled()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.console, b.requests = nil, nil
}

// open goes to a path of the console.
func (b *browser) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.site.origin() + path))
}

// within bounds what the browser is told to do.
func (b *browser) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, gatewaytest.Patience)
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.within()
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) must(_ any, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// eval runs a function of JavaScript with arguments in the page, waits for what it promises, and returns that.
func eval[T any](b *browser, function string, arguments ...any) T {
	b.t.Helper()
	value, err := tryEval[T](b, function, arguments...)
	if err != nil {
		b.t.Fatalf("%v\nin %s", err, function)
	}
	return value
}

func tryEval[T any](b *browser, function string, arguments ...any) (T, error) {
	encoded, err := json.Marshal(append([]any{}, arguments...))
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := b.within()
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](fmt.Sprintf("(%s)(...%s)", function, encoded), chromedp.EvalAwaitPromise))
}

// await polls a function of the page until it returns something else than null, and returns that. A page that is
// on the way to another one is asked again.
func await[T any](b *browser, what, function string, arguments ...any) T {
	b.t.Helper()
	var got *T
	gatewaytest.Eventually(b.t, what, func() bool {
		value, err := tryEval[*T](b, function, arguments...)
		got = value
		return err == nil && value != nil
	})
	return *got
}

// inView is what the user can act on: the last open dialog, or else the page. named finds in it what is visible and has
// words as its text or its name; a number may follow, as it does in tabs.
const inView = `
	const scope = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document;
	const plain = (text) => (text ?? "").replaceAll("\u00a0", " ").replace(/\s+/g, " ").trim();
	const fits = (text, words) => plain(text) === words || (plain(text).startsWith(words + " ") && /^[\d,]+$/.test(plain(text).slice(words.length + 1)));
	const named = (selector, words) => [...scope.querySelectorAll(selector)].filter((element) =>
		element.checkVisibility({visibilityProperty: true, opacityProperty: true}) &&
		(fits(element.innerText, words) || fits(element.getAttribute("aria-label"), words)));
`

// click clicks the button, link or choice with these words, as soon as it is there.
func (b *browser) click(words string) {
	b.t.Helper()
	b.clickAt(fmt.Sprintf("the button %q", words), `(words) => {`+inView+`
		const [element] = named("button:enabled, a[href], label.choice", words);
		return place(element);
	}`, words)
}

// clickIn clicks the button with these words in the row of a table that has a name.
func (b *browser) clickIn(row, words string) {
	b.t.Helper()
	b.clickAt(fmt.Sprintf("the button %q in the row of %q", words, row), `(row, words) => {`+inView+`
		const tr = [...scope.querySelectorAll("tbody tr")].find((tr) => plain(tr.querySelector(".name").innerText) === row);
		const element = [...tr?.querySelectorAll("button:enabled, a[href]") ?? []].find((element) => fits(element.innerText, words) || fits(element.getAttribute("aria-label"), words));
		return place(element);
	}`, row, words)
}

// clickAt clicks with the mouse in the middle of what a function finds, once that stands still.
func (b *browser) clickAt(what, find string, arguments ...any) {
	b.t.Helper()
	b.settled() // what is loaded later moves what is below it
	at := await[[2]float64](b, what, `async (...values) => {
		const place = (element) => {
			if (!element) return null;
			window.leaving = element.matches("a[href]:not([download])");
			element.scrollIntoView({block: "center", behavior: "instant"});
			const box = element.getBoundingClientRect(), at = [box.left + box.width / 2, box.top + box.height / 2];
			const hit = document.elementFromPoint(...at);
			return element.contains(hit) || hit?.contains(element) ? at : null;
		};
		const find = () => (`+find+`)(...values);
		const before = find();
		await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
		const now = find();
		return String(now) === String(before) ? now : null;
	}`, arguments...)
	b.do(chromedp.MouseClickXY(at[0], at[1]))
	// A link ends this page. What comes next is for the new one.
	await[bool](b, "another page", `() => window.leaving ? null : true`)
}

// fill types a text into the field with this label, in the place of what is there.
func (b *browser) fill(label, text string) {
	b.t.Helper()
	await[bool](b, fmt.Sprintf("the field %q", label), `(label) => {`+inView+`
		const of = (element) => plain([...element.childNodes].filter((node) => node.nodeType === 3 || !node.matches("input, textarea, select, .hint")).map((node) => node.innerText ?? node.textContent).join(""));
		const field = [...scope.querySelectorAll("label")].find((element) => of(element) === label)?.control;
		if (!field?.checkVisibility() || field.disabled) return null;
		field.focus();
		field.select?.();
		return true;
	}`, label)
	b.typeText(text)
}

// typeText types into what has the focus.
func (b *browser) typeText(text string) {
	b.t.Helper()
	ctx, cancel := b.within()
	defer cancel()
	if text == "" {
		b.press("\b")
		return
	}
	b.must(chromedp.Call(ctx, input.InsertText, input.InsertTextParams{Text: text}))
}

// press presses keys.
func (b *browser) press(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// see waits until these words are to be seen in the page, or in the dialog that is open.
func (b *browser) see(words string) {
	b.t.Helper()
	await[bool](b, fmt.Sprintf("the words %q", words), `(words) => {`+inView+`
		return plain((scope.body ?? scope).innerText).includes(words) || null;
	}`, words)
}

// seeNot waits until these words are not to be seen.
func (b *browser) seeNot(words string) {
	b.t.Helper()
	await[bool](b, fmt.Sprintf("the words %q to go", words), `(words) => {`+inView+`
		return !plain((scope.body ?? scope).innerText).includes(words) || null;
	}`, words)
}

// has says whether there is a button, link or field with these words now.
func (b *browser) has(words string) bool {
	b.t.Helper()
	return eval[bool](b, `(words) => {`+inView+` return named("button, a[href], select", words).length > 0; }`, words)
}

// valueOf is the text that stands beside a term, such as API Key ID.
func (b *browser) valueOf(term string) string {
	b.t.Helper()
	return await[string](b, term, `(term) => {`+inView+`
		return [...scope.querySelectorAll("dt")].find((dt) => plain(dt.innerText) === term)?.nextElementSibling.querySelector("code").innerText || null;
	}`, term)
}

// settled waits until all lists are loaded.
func (b *browser) settled() {
	b.t.Helper()
	await[bool](b, "the page to be loaded", `() => (document.readyState === "complete" && !document.querySelector('section[aria-busy="true"], [data-state="loading"]:not([hidden])')) || null`)
}

// scheme has pages be shown in the dark, or in the light; and without motion, for which nothing then has to wait.
func (b *browser) scheme(name string) {
	b.t.Helper()
	ctx, cancel := b.within()
	defer cancel()
	b.must(chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	}))
}
