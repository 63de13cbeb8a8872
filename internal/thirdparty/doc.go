// Package thirdparty holds tests that run other people's routers, middlewares
// and WebSocket libraries, as they are, over Windhover. There is nothing in it
// to import; its module keeps those libraries out of Windhover's own.
package thirdparty
