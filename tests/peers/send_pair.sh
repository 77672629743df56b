#!/bin/sh
# send_pair.sh AGENT_PORT CUSTOMER_PORT: sends $AGENT_WAV in µ-law and $CUSTOMER_WAV in A-law, 20 ms a packet, for $SECONDS_SENT s.
send() {
    ffmpeg -hide_banner -loglevel error -re -i "$2" -t "$SECONDS_SENT" -ar 8000 -ac 1 -af asetnsamples=n=160 -c:a "$3" \
        -f rtp -payload_type "$4" "rtp://127.0.0.1:$1" </dev/null >/dev/null 2>&1 &
}
send "$1" "$AGENT_WAV" pcm_mulaw 0
send "$2" "$CUSTOMER_WAV" pcm_alaw 8
