<?php
// PHP's memcached extension: libmemcached in the text protocol, then in packets if the server speaks them, then with
// several requests in flight.
if (!extension_loaded('memcached')) {
    echo "not run: php-memcached is not installed\n";
    exit(77);
}

[, $host, $port, $pid] = $argv;
$capabilities = array_slice($argv, 4);
$passed = $failed = 0;
$where = '';

function check(bool $right, string $what): void
{
    global $passed, $failed, $where;
    $right ? $passed++ : $failed++;
    if (!$right) {
        echo "$where: $what\n";
    }
}

function equal(mixed $got, mixed $wanted): void
{
    $show = fn ($value) => substr(json_encode($value, JSON_INVALID_UTF8_SUBSTITUTE), 0, 200);
    check($got === $wanted, "{$show($got)} instead of {$show($wanted)}");
}

/** What the client was told when it failed. */
function refused(Memcached $m, mixed $got, int $code): void
{
    equal($got, false);
    check($m->getResultCode() === $code, "code {$m->getResultCode()}, {$m->getResultMessage()}, instead of $code");
}

$tests = [
    'every_type_comes_back' => function (Memcached $m, string $k) {
        foreach (['text', '', 7, -1, 2 ** 40, 3.5, true, false, ['a' => [1, null]], "\0\xff\r\nEND\r\n"] as $value) {
            equal($m->set($k, $value), true);
            equal($m->get($k), $value);
            equal($m->getResultCode(), Memcached::RES_SUCCESS);
        }
    },
    'get_of_nothing' => function (Memcached $m, string $k) {
        refused($m, $m->get($k), Memcached::RES_NOTFOUND);
    },
    'every_size' => function (Memcached $m, string $k) {
        $m->setOption(Memcached::OPT_COMPRESSION, false);
        foreach ([0, 1, ...range(2020, 2060), 8192, 65536, 1000000] as $size) {
            $value = substr(str_repeat("v$size ", intdiv($size, 4) + 1), 0, $size);
            equal($m->set($k, $value), true);
            equal($m->get($k), $value);
        }
    },
    'a_compressed_value' => function (Memcached $m, string $k) {
        $value = str_repeat('again and again ', 100000);
        equal($m->set($k, $value), true);
        equal($m->get($k), $value);
    },
    'a_value_that_is_too_large' => function (Memcached $m, string $k) {
        global $capabilities;
        if (in_array('swallow', $capabilities)) {
            $m->setOption(Memcached::OPT_COMPRESSION, false);
            $m->set($k, 'small');
            refused($m, $m->set($k, str_repeat('x', 2000000)), Memcached::RES_E2BIG);
            equal($m->set("{$k}_after", 'still in step'), true);
            equal($m->get("{$k}_after"), 'still in step');
        }
    },
    'add_and_replace' => function (Memcached $m, string $k) {
        $packets = $m->getOption(Memcached::OPT_BINARY_PROTOCOL);  // which say why
        refused($m, $m->replace($k, 'nothing there'), $packets ? Memcached::RES_NOTFOUND : Memcached::RES_NOTSTORED);
        equal($m->add($k, 'first'), true);
        refused($m, $m->add($k, 'second'), $packets ? Memcached::RES_DATA_EXISTS : Memcached::RES_NOTSTORED);
        equal($m->get($k), 'first');
        equal($m->replace($k, 'third'), true);
        equal($m->get($k), 'third');
    },
    'append_and_prepend' => function (Memcached $m, string $k) {
        $m->setOption(Memcached::OPT_COMPRESSION, false);
        refused($m, $m->append($k, 'nothing there'), Memcached::RES_NOTSTORED);
        refused($m, $m->prepend($k, 'nothing there'), Memcached::RES_NOTSTORED);
        $m->set($k, 'b');
        equal($m->append($k, 'c'), true);
        equal($m->prepend($k, 'a'), true);
        equal($m->get($k), 'abc');
    },
    'cas' => function (Memcached $m, string $k) {
        $m->set($k, 'one');
        ['value' => $value, 'cas' => $cas] = $m->get($k, null, Memcached::GET_EXTENDED);
        equal($value, 'one');
        equal($m->cas($cas, $k, 'two'), true);
        refused($m, $m->cas($cas, $k, 'three'), Memcached::RES_DATA_EXISTS);
        refused($m, $m->cas($cas, "{$k}_nobody", 'x'), Memcached::RES_NOTFOUND);
        equal($m->get($k), 'two');
    },
    'each_key_has_its_own_number' => function (Memcached $m, string $k) {
        $keys = array_map(fn ($i) => "$k$i", range(1, 20));
        $m->setMulti(array_fill_keys($keys, 'v'));
        equal(count(array_unique(array_column($m->getMulti($keys, Memcached::GET_EXTENDED), 'cas'))), 20);
    },
    'increment_and_decrement' => function (Memcached $m, string $k) {
        refused($m, $m->increment($k), Memcached::RES_NOTFOUND);
        $m->set($k, 10);
        equal($m->increment($k, 5), 15);
        equal($m->decrement($k, 6), 9);
        equal($m->decrement($k, 100), 0);
        if ($m->getOption(Memcached::OPT_BINARY_PROTOCOL)) {
            equal($m->increment("{$k}_new", 5, 42), 42);
            equal($m->decrement("{$k}_new", 2, 0), 40);
        }
    },
    'increment_of_a_word' => function (Memcached $m, string $k) {
        $m->set($k, 'word');
        equal($m->increment($k), false);
        check($m->getResultCode() !== Memcached::RES_NOTFOUND, $m->getResultMessage());
        equal($m->get($k), 'word');
    },
    'touch_and_delete' => function (Memcached $m, string $k) {
        refused($m, $m->touch($k, 100), Memcached::RES_NOTFOUND);
        refused($m, $m->delete($k), Memcached::RES_NOTFOUND);
        $m->set($k, 'value');
        equal($m->touch($k, 100), true);
        equal($m->get($k), 'value');
        equal($m->touch($k, time() - 100), true);
        equal($m->get($k), false);
        $m->set($k, 'value');
        equal($m->delete($k), true);
        equal($m->get($k), false);
    },
    'times' => function (Memcached $m, string $k) {
        $m->set($k, 'gone', time() - 100);
        equal($m->get($k), false);
        $m->set($k, 'here', time() + 100);
        equal($m->get($k), 'here');
        $m->set($k, 'here, too', 100);
        equal($m->get($k), 'here, too');
    },
    '500_keys_at_once' => function (Memcached $m, string $k) {
        $values = [];
        foreach (range(0, 499) as $i) {
            $values["$k$i"] = str_repeat("value $i ", $i % 50 + 1);
        }
        equal($m->setMulti($values), true);
        equal($m->getMulti([...array_keys($values), 'one_that_is_not_there'], Memcached::GET_PRESERVE_ORDER), [
            ...$values,
            'one_that_is_not_there' => null,
        ]);
        $even = array_filter($values, fn ($key) => substr($key, strlen($k)) % 2 === 0, ARRAY_FILTER_USE_KEY);
        equal(array_unique(array_values($m->deleteMulti(array_keys($even)))), [true]);
        $left = $m->getMulti(array_keys($values));
        ksort($left);
        $wanted = array_diff_key($values, $even);
        ksort($wanted);
        equal($left, $wanted);
    },
    'a_reply_that_is_fetched_later' => function (Memcached $m, string $k) {
        $m->setMulti(["{$k}1" => 'one', "{$k}2" => 'two']);
        equal($m->getDelayed(["{$k}1", "{$k}2", "{$k}3"], true), true);
        $found = array_column($m->fetchAll() ?: [], 'value', 'key');
        ksort($found);
        equal($found, ["{$k}1" => 'one', "{$k}2" => 'two']);
    },
    'a_key_of_250_bytes' => function (Memcached $m, string $k) {
        $m->set(str_repeat('k', 250), $k);
        equal($m->get(str_repeat('k', 250)), $k);
        refused($m, $m->get(str_repeat('k', 251)), Memcached::RES_BAD_KEY_PROVIDED);
    },
    'version_and_stats' => function (Memcached $m, string $k) {
        global $host, $port, $pid;
        check(preg_match('/^\d+\.\d+\.\d+/', implode($m->getVersion() ?: [])) === 1, 'version');
        $stats = fn () => $m->getStats()["$host:$port"] ?? [];
        $before = $stats();
        $m->set($k, 'value');
        $m->get($k);
        $after = $stats();
        equal($after['pid'] ?? null, (int) $pid);
        equal($after['cmd_set'] - $before['cmd_set'], 1);
        equal($after['get_hits'] - $before['get_hits'], 1);
    },
    'flush' => function (Memcached $m, string $k) {
        $m->set($k, 'value');
        equal($m->flush(), true);
        equal($m->get($k), false);
        $m->set($k, 'again');
        equal($m->get($k), 'again');
    },
];

$ways = ['text' => [], 'in flight' => [Memcached::OPT_NO_BLOCK => true]];
if (in_array('binary', $capabilities)) {
    $ways['binary'] = [Memcached::OPT_BINARY_PROTOCOL => true];
}
foreach ($ways as $way => $options) {
    foreach ($tests as $name => $test) {
        $where = "$way: $name";
        $m = new Memcached();
        $m->setOptions([Memcached::OPT_TCP_NODELAY => true, Memcached::OPT_CONNECT_TIMEOUT => 10000] + $options);
        $m->addServer($host, (int) $port);
        try {
            $test($m, str_replace(' ', '_', "{$way}_$name"));  // tests share a server but no key
        } catch (Throwable $problem) {
            check(false, $problem);
        }
        $m->quit();
    }
}
echo "$passed passed, $failed failed\n";
exit($failed ? 1 : 0);
