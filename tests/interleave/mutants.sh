#!/bin/sh
# Breaks the protocol in one place after the other, in a copy, and asks interleave to notice.
#
#   mutants.sh SOURCE [NAME]      CC and CFLAGS from the environment
#
# A line a mutant: its name, the bound and the pair that caught it, and what was wrong.
set -eu

source=$(cd "$1" && pwd)
only=${2:-}
: "${CC:=gcc}" "${CFLAGS:=-std=gnu11 -O1 -w}"
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
trap 'exit 1' HUP INT TERM
caught=0
missed=0

flags="-D_GNU_SOURCE -D_LGPL_SOURCE -DPACKAGE_VERSION=\"0\" -I$room/include -I$room/lib -I$source/tests/interleave"
wraps=$(sed -n 's/^tests_interleave_interleave_LDFLAGS = \$(AM_LDFLAGS)//p; s/^\(	-Wl,--wrap.*\)/\1/p' \
    "$source/tests/interleave/local.mk" | tr -d '\\\n\t')

compile() { # directory, flags, files
    into=$1 more=$2
    shift 2
    mkdir -p "$into"
    printf '%s\n' "$@" | xargs -P 2 -I FILE sh -c \
        'o=$(echo "$1" | tr / _); exec '"$CC $CFLAGS $flags $more"' -c -o "'"$into"'/$o.o" "$1"' sh FILE
}

copy() {
    rm -rf "$room/lib" "$room/include"
    cp -R "$source/lib" "$source/include" "$room/"
    chmod -R u+w "$room/lib" "$room/include"
}

build() {
    (
        cd "$room"
        rm -rf objects
        # shellcheck disable=SC2046
        compile objects '-DCF_STEPPED=\"stepped.h\" -DCF_MOMENT=2u' $(find lib -name '*.c')
        $CC -o interleave objects/*.o test/*.o $wraps $(pkg-config --libs liburcu-bp) -lpthread
    )
}

# NAME FILE SED-SCRIPT
mutant() {
    if [ -n "$only" ] && [ "$only" != "$1" ]; then
        return
    fi
    copy
    sed "$3" "$source/$2" >"$room/$2"
    if cmp -s "$source/$2" "$room/$2"; then
        printf '%-26s cannot be made: %s has changed\n' "$1" "$2"
        missed=$((missed + 1))
        return
    fi
    if ! build; then
        printf '%-26s does not compile\n' "$1"
        missed=$((missed + 1))
        return
    fi
    for bound in 1 2 3 ""; do
        if ! "$room/interleave" --bound=$bound --stop >"$room/out" 2>&1; then
            why=$(awk '/ FAILED / { pair = $1; seen = index($0, "never seen") ? $0 : "" }
                pair && /^  [^ ]/ && !/replay:/ { sub(/^ */, ""); print pair ": " $0; exit }
                pair && /died of signal/ { print; exit }' "$room/out")
            printf '%-26s bound %s  %s\n' "$1" "${bound:-+}" \
                "${why:-$(grep -E 'never seen|died of' "$room/out" | head -n 1)}"
            caught=$((caught + 1))
            return
        fi
    done
    printf '%-26s NOT CAUGHT\n' "$1"
    missed=$((missed + 1))
}

copy
cd "$room"
# shellcheck disable=SC2046
compile test '' $(find "$source/tests/interleave" -name '*.c')

T=lib/shm/table.c
P=lib/shm/path.c
L=lib/shm/lease.c
mutant second-walk-omitted $T 's/enum rival rival = second_walk(m, key, number);/enum rival rival = NO_RIVAL;/'
mutant second-mark-omitted $T '/^ *cf_path_mark_again(m, home/s/cf_path.*/(void)0;/'
mutant marked-forwards $P 's/set_overflow(m, (home + steps - 1) % n)/set_overflow(m, (group + n - steps) % n)/'
mutant epoch-omitted $P 's/(old | CF_OVERFLOW) + CF_EPOCH/old | CF_OVERFLOW/'
mutant cleared-without-look $P 's/if (anything_passes(m, g))/if (0)/'
mutant token-before-walk $T '/enum rival rival = second_walk(m, key, number)/i\
    uint64_t early = cf_add_seq(\&m->group_at[home].token, 1) + 1;
s/terms.token = cf_add_seq(.*K1.*/terms.token = early;/'
mutant K2-omitted $T 's/found->copy.token + 1/found->copy.token/'
mutant K3-omitted lib/shm/lease_pool.c 's/while (seen < token \&\&/while (0 \&\& seen < token \&\&/'
mutant grant-read-back $T '/^static inline void grant_spare/,/^}/s/terms.token/cf_load_relaxed(\&cf_record_at(cf_any, cf_word_record(held))->token)/
/^static inline void grant_spare/i\
static struct cf_mapping *cf_any;
/^cachify_status_t cf_table_acquire/,/^}/s/^{/{ cf_any = m;/'
mutant claim-omitted lib/shm/lease_pool.h '/^static inline bool cf_record_claim/,/^}/s/return cf_cas64(\(.*\),/return true || cf_cas64(\1,/'
mutant claim-by-store lib/shm/lease_pool.h '/^static inline bool cf_record_claim/,/^}/{
s/return cf_cas64(\(.*\), cf_state_taken(generation, self),/cf_store_release(\1,/
s/cf_state_taken(generation + 1, self));/cf_state_taken(generation + 1, self)); return true;/
}'
mutant free-by-store lib/shm/lease_pool.c '/^void cf_record_free/,/^}/{
s/if (cf_state_is_taken(s).*/(void)s;/
s/cf_cas64(state, s, /cf_store_release(state, /
}'
mutant withdrawer-frees $T 's/cf_cas64(cf_slot_at(m, number), found.word, 0); \/\* T3 \*\//if (cf_cas64(cf_slot_at(m, number), found.word, 0)) cf_record_free(m, found.word);/'
mutant copy-not-confirmed lib/shm/record.h 's/return cf_load_relaxed(slot) == w;/return true;/'
mutant moved-on-is-lost $L 's/if (!moved_on(m, grant, cf_slot_at(m, number), hash, &next) || next == w)/if (1)/'
mutant intent-left lib/shm/lease_pool.c '/^void cf_intent_end/,/^}/s/if (place != CF_INTENTS)/if (0)/'
mutant intent-followed-blindly lib/shm/sweep.c 's/naming_word(m, r, &slot) == 0 \&\&/true \&\&/'
mutant swept-by-free-first lib/shm/sweep.c '/^static bool sweep_expired/,/^}/s/bool out = take_out/cf_record_free(m, w); bool out = take_out/'
mutant sleep-without-look lib/shm/wait.c '/^struct cf_rest cf_place_arm/,/^}/{
s/= {.armed = cf_line_arm(m, own, key->hash)};/= {0};/
s/uint64_t now = cf_now(m);/uint64_t now = cf_now(m); rest.armed = cf_line_arm(m, own, key->hash);/
}'
mutant wake-before-release $L '/^static bool take_out_claimed/,/^}/s/uint32_t r = cf_word_record(w);/uint32_t r = cf_word_record(w); cf_call(m, cf_load_relaxed(\&cf_record_at(m, r)->hash));/
/^cachify_status_t cf_lease_release/,/^}/s/cf_call(m, hash);//'
mutant turn-not-asked-for lib/shm/line.h '/^static inline uint32_t cf_line_ahead/,/^}/s/if (!cf_line_armed(m, hash))/if (1)/'
mutant creator-replaces lib/shm/create.c 's/1 \/\* RENAME_NOREPLACE.*/0);/'
mutant replaced-unasked lib/shm/create.c 's/if (stat(path, &st) != 0 || .*/if (0) {/'
mutant replaced-without-agreement lib/shm/create.c 's/if (link(agreed, beside) != 0 \&\& errno != EEXIST)/if (link_hidden(fd, temporary, beside) != 0 \&\& errno != EEXIST)/'

printf 'interleave-mutants: %d passed, %d failed\n' "$caught" "$missed"
[ "$missed" = 0 ]
