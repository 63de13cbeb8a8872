package wire

import (
	"encoding/binary"
	"math/bits"
)

// FieldID names a field that servers meet often, so that looking it up and
// making its canonical name need no comparison of text.
type FieldID uint8

// The known fields. The first eight are those that the parser itself acts on.
const (
	FieldUnknown FieldID = iota
	FieldHost
	FieldConnection
	FieldContentLength
	FieldTransferEncoding
	FieldExpect
	FieldUpgrade
	FieldTrailer

	FieldAccept
	FieldAcceptCharset
	FieldAcceptEncoding
	FieldAcceptLanguage
	FieldAccessControlRequestHeaders
	FieldAccessControlRequestMethod
	FieldAuthorization
	FieldCacheControl
	FieldContentEncoding
	FieldContentLanguage
	FieldContentLocation
	FieldContentMD5
	FieldContentRange
	FieldContentType
	FieldCookie
	FieldDate
	FieldDNT
	FieldForwarded
	FieldHTTP2Settings
	FieldIfMatch
	FieldIfModifiedSince
	FieldIfNoneMatch
	FieldIfRange
	FieldIfUnmodifiedSince
	FieldKeepAlive
	FieldMaxForwards
	FieldOrigin
	FieldPragma
	FieldPriority
	FieldProxyAuthorization
	FieldProxyConnection
	FieldRange
	FieldReferer
	FieldSecChUa
	FieldSecChUaMobile
	FieldSecChUaPlatform
	FieldSecFetchDest
	FieldSecFetchMode
	FieldSecFetchSite
	FieldSecFetchUser
	FieldSecWebSocketExtensions
	FieldSecWebSocketKey
	FieldSecWebSocketProtocol
	FieldSecWebSocketVersion
	FieldTE
	FieldTraceparent
	FieldUpgradeInsecureRequests
	FieldUserAgent
	FieldVia
	FieldXForwardedFor
	FieldXForwardedHost
	FieldXForwardedProto
	FieldXRealIP
	FieldXRequestID
	FieldXRequestedWith
	fieldCount
)

// lastSpecial is the last field that the parser itself acts on.
const lastSpecial = FieldTrailer

// fieldNames are in the canonical form of net/http (textproto), which is not
// always the registered spelling.
var fieldNames = [fieldCount]string{
	FieldHost:                        "Host",
	FieldConnection:                  "Connection",
	FieldContentLength:               "Content-Length",
	FieldTransferEncoding:            "Transfer-Encoding",
	FieldExpect:                      "Expect",
	FieldUpgrade:                     "Upgrade",
	FieldTrailer:                     "Trailer",
	FieldAccept:                      "Accept",
	FieldAcceptCharset:               "Accept-Charset",
	FieldAcceptEncoding:              "Accept-Encoding",
	FieldAcceptLanguage:              "Accept-Language",
	FieldAccessControlRequestHeaders: "Access-Control-Request-Headers",
	FieldAccessControlRequestMethod:  "Access-Control-Request-Method",
	FieldAuthorization:               "Authorization",
	FieldCacheControl:                "Cache-Control",
	FieldContentEncoding:             "Content-Encoding",
	FieldContentLanguage:             "Content-Language",
	FieldContentLocation:             "Content-Location",
	FieldContentMD5:                  "Content-Md5",
	FieldContentRange:                "Content-Range",
	FieldContentType:                 "Content-Type",
	FieldCookie:                      "Cookie",
	FieldDate:                        "Date",
	FieldDNT:                         "Dnt",
	FieldForwarded:                   "Forwarded",
	FieldHTTP2Settings:               "Http2-Settings",
	FieldIfMatch:                     "If-Match",
	FieldIfModifiedSince:             "If-Modified-Since",
	FieldIfNoneMatch:                 "If-None-Match",
	FieldIfRange:                     "If-Range",
	FieldIfUnmodifiedSince:           "If-Unmodified-Since",
	FieldKeepAlive:                   "Keep-Alive",
	FieldMaxForwards:                 "Max-Forwards",
	FieldOrigin:                      "Origin",
	FieldPragma:                      "Pragma",
	FieldPriority:                    "Priority",
	FieldProxyAuthorization:          "Proxy-Authorization",
	FieldProxyConnection:             "Proxy-Connection",
	FieldRange:                       "Range",
	FieldReferer:                     "Referer",
	FieldSecChUa:                     "Sec-Ch-Ua",
	FieldSecChUaMobile:               "Sec-Ch-Ua-Mobile",
	FieldSecChUaPlatform:             "Sec-Ch-Ua-Platform",
	FieldSecFetchDest:                "Sec-Fetch-Dest",
	FieldSecFetchMode:                "Sec-Fetch-Mode",
	FieldSecFetchSite:                "Sec-Fetch-Site",
	FieldSecFetchUser:                "Sec-Fetch-User",
	FieldSecWebSocketExtensions:      "Sec-Websocket-Extensions",
	FieldSecWebSocketKey:             "Sec-Websocket-Key",
	FieldSecWebSocketProtocol:        "Sec-Websocket-Protocol",
	FieldSecWebSocketVersion:         "Sec-Websocket-Version",
	FieldTE:                          "Te",
	FieldTraceparent:                 "Traceparent",
	FieldUpgradeInsecureRequests:     "Upgrade-Insecure-Requests",
	FieldUserAgent:                   "User-Agent",
	FieldVia:                         "Via",
	FieldXForwardedFor:               "X-Forwarded-For",
	FieldXForwardedHost:              "X-Forwarded-Host",
	FieldXForwardedProto:             "X-Forwarded-Proto",
	FieldXRealIP:                     "X-Real-Ip",
	FieldXRequestID:                  "X-Request-Id",
	FieldXRequestedWith:              "X-Requested-With",
}

// Canonical returns the name in the form that net/http uses as a key of
// http.Header, and "" for [FieldUnknown].
func (id FieldID) Canonical() string {
	if id >= fieldCount {
		return ""
	}
	return fieldNames[id]
}

// maxKnownName is the longest name that the table can hold: four words that
// may overlap.
const maxKnownName = 32

// knownField is a name as the words that fieldWords takes from it. mask has
// 0x20 where the name has a letter: setting these bits in the same words of a
// candidate and comparing tells in four operations whether it is this name in
// any case, and so also that all its bytes are legal.
type knownField struct {
	word, mask [4]uint64
	length     uint8
	id         FieldID
}

// knownFields is a perfect hash table. A name that lost its place to another one
// would not be acted on, so the multiplier, found by trying, is checked at every
// start.
var knownFields = buildKnownFields()

const (
	fieldHashMultiplier = 0x7B6D0A4B6AF0B901
	fieldHashShift      = 64 - 8
	caseBits            = ones * 0x20
)

func buildKnownFields() (t [1 << (64 - fieldHashShift)]knownField) {
	for id := FieldUnknown + 1; id < fieldCount; id++ {
		name := []byte(fieldNames[id])
		mask := make([]byte, len(name))
		for i, c := range name {
			if c|0x20 >= 'a' && c|0x20 <= 'z' {
				mask[i] = 0x20
				name[i] = c | 0x20
			}
		}
		w0, w1 := fieldWords(name, 0, len(name))
		m0, m1 := fieldWords(mask, 0, len(mask))
		k := knownField{length: uint8(len(name)), id: id}
		k.word[0], k.word[1], k.mask[0], k.mask[1] = w0, w1, m0, m1
		if len(name) > 16 {
			k.word[2], k.word[3] = middleWords(name, 0, len(name))
			k.mask[2], k.mask[3] = middleWords(mask, 0, len(mask))
		}
		place := &t[fieldHash(w0, w1)]
		if place.id != FieldUnknown {
			panic("wire: field names " + fieldNames[id] + " and " + fieldNames[place.id] + " collide; change fieldHashMultiplier")
		}
		*place = k
	}
	return t
}

// fieldWords returns the first and the last eight bytes of the name
// b[off:off+n], or twice the whole name when it is shorter.
func fieldWords(b []byte, off, n int) (first, last uint64) {
	if n >= 8 {
		return binary.LittleEndian.Uint64(b[off:]), binary.LittleEndian.Uint64(b[off+n-8:])
	}
	if off+8 <= len(b) {
		first = binary.LittleEndian.Uint64(b[off:]) & (1<<(8*uint(n)) - 1)
		return first, first
	}
	for i := range n {
		first |= uint64(b[off+i]) << (8 * uint(i))
	}
	return first, first
}

// middleWords returns bytes 8 to 16 from the start and from the end of a name
// of 16 to 32 bytes.
func middleWords(b []byte, off, n int) (second, third uint64) {
	return binary.LittleEndian.Uint64(b[off+8:]), binary.LittleEndian.Uint64(b[off+n-16:])
}

func fieldHash(first, last uint64) uint64 {
	return ((first | caseBits) ^ bits.RotateLeft64(last|caseBits, 1)) * fieldHashMultiplier >> fieldHashShift
}

// lookupField returns the known field with the name b[off:off+n] in any case,
// else FieldUnknown.
func lookupField(b []byte, off, n int) FieldID {
	if n == 0 || n > maxKnownName {
		return FieldUnknown
	}
	w0, w1 := fieldWords(b, off, n)
	k := &knownFields[fieldHash(w0, w1)]
	if int(k.length) != n || w0|k.mask[0] != k.word[0] || w1|k.mask[1] != k.word[1] {
		return FieldUnknown
	}
	if n > 16 {
		w2, w3 := middleWords(b, off, n)
		if w2|k.mask[2] != k.word[2] || w3|k.mask[3] != k.word[3] {
			return FieldUnknown
		}
	}
	return k.id
}

// LookupField returns the known field called name, in any case, else
// [FieldUnknown].
func LookupField(name string) FieldID {
	var b [maxKnownName]byte
	if len(name) > len(b) {
		return FieldUnknown
	}
	n := copy(b[:], name)
	return lookupField(b[:], 0, n)
}
