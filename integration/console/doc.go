// Package console tests the console as people use it: in a real browser, headless Chromium, in front of a real gateway, on
// both stores, by the words that are to be seen. It knows neither the code of the console nor that of its pages.
package console
