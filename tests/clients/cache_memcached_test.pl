# Perl's clients: Cache::Memcached, the oldest of all, by memcached's own author; and Cache::Memcached::Fast, in C.
use strict;
use warnings;

for ([qw(Cache::Memcached libcache-memcached-perl)], [qw(Cache::Memcached::Fast libcache-memcached-fast-perl)]) {
    my ($class, $package) = @$_;
    if (!eval "require $class") {
        print "not run: $package is not installed\n";
        exit 77;
    }
}
use Test::More;

my ($host, $port, $pid, @capabilities) = @ARGV;
my %can = map { $_ => 1 } @capabilities;
my @fast = (servers => ["$host:$port"], connect_timeout => 10, io_timeout => 10, max_size => 4_000_000);

# Tests share a server but no key. One that dies is one failed check.
my @tests;
sub test { push @tests, [@_] }

sub keys_of { my ($k, @numbers) = @_; map { "$k$_" } @numbers }

test set_and_get => sub {
    my ($m, $k) = @_;
    ok $m->set($k, 'value');
    is $m->get($k), 'value';
    is $m->get("${k}_nothing"), undef;
    ok $m->set($k, '');
    is $m->get($k), '';
    ok $m->set($k, "\0\xff\r\nEND\r\nVALUE x 0 1\r\n");
    is $m->get($k), "\0\xff\r\nEND\r\nVALUE x 0 1\r\n";
    ok $m->set($k, { list => [1, undef], text => 'x' });
    is_deeply $m->get($k), { list => [1, undef], text => 'x' };
};

test every_size => sub {
    my ($m, $k) = @_;
    for my $size (1, 2030 .. 2060, 8192, 65536, 1_000_000) {
        my $value = substr "v$size " x $size, 0, $size;
        ok $m->set($k, $value), "set of $size bytes";
        ok $m->get($k) eq $value, "get of $size bytes";
    }
};

test a_value_that_is_too_large => sub {
    my ($m, $k) = @_;
    return unless $can{swallow};
    ok $m->set($k, 'small');
    ok !$m->set($k, 'x' x 2_000_000);
    ok $m->set("${k}_after", 'still in step');
    is $m->get("${k}_after"), 'still in step';
};

test add_and_replace => sub {
    my ($m, $k) = @_;
    ok !$m->replace($k, 'nothing there');
    ok $m->add($k, 'first');
    ok !$m->add($k, 'second');
    is $m->get($k), 'first';
    ok $m->replace($k, 'third');
    is $m->get($k), 'third';
};

test append_and_prepend => sub {
    my ($m, $k) = @_;
    ok !$m->append($k, 'nothing there');
    ok !$m->prepend($k, 'nothing there');
    $m->set($k, 'b');
    ok $m->append($k, 'c');
    ok $m->prepend($k, 'a');
    is $m->get($k), 'abc';
};

test cas => sub {
    my ($m, $k) = @_;
    return unless $m->can('cas');
    is $m->gets($k), undef;
    $m->set($k, 'one');
    my ($unique, $value) = @{ $m->gets($k) };
    is $value, 'one';
    ok $m->cas($k, $unique, 'two');
    ok !$m->cas($k, $unique, 'three');
    ok !$m->cas("${k}_nobody", $unique, 'x');
    is $m->get($k), 'two';
    my @keys = keys_of($k, 1 .. 20);
    $m->set_multi(map { [$_, 'v'] } @keys);
    my %numbers = map { $_->[0] => 1 } values %{ $m->gets_multi(@keys) };
    is keys %numbers, 20, 'each key has its own number';
};

test incr_and_decr => sub {
    my ($m, $k) = @_;
    ok !$m->incr($k);
    $m->set($k, 10);
    is $m->incr($k, 5), 15;
    is $m->incr($k), 16;
    is $m->decr($k, 6), 10;
    ok $m->decr($k, 100) == 0;
    is $m->get($k) + 0, 0;
    $m->set($k, 'word');
    ok !$m->incr($k), 'of a word';
    is $m->get($k), 'word';
};

test delete => sub {
    my ($m, $k) = @_;
    ok !$m->delete($k);
    $m->set($k, 'value');
    ok $m->delete($k);
    is $m->get($k), undef;
};

test touch => sub {
    my ($m, $k) = @_;
    return unless $m->can('touch');
    ok !$m->touch($k, 100);
    $m->set($k, 'value');
    ok $m->touch($k, 100);
    is $m->get($k), 'value';
    ok $m->touch($k, time - 100);
    is $m->get($k), undef;
};

test times => sub {
    my ($m, $k) = @_;
    ok $m->set($k, 'gone', time - 100);
    is $m->get($k), undef;
    ok $m->set($k, 'here', time + 100);
    is $m->get($k), 'here';
    ok $m->set($k, 'here, too', 100);
    is $m->get($k), 'here, too';
};

test many_keys => sub {
    my ($m, $k) = @_;
    my %values = map { ("$k$_" => "value $_ " x ($_ % 50 + 1)) } 0 .. 499;
    if ($m->can('set_multi')) {
        is_deeply [$m->set_multi(map { [$_, $values{$_}] } sort keys %values)], [(1) x 500];
    } else {
        $m->set($_, $values{$_}) for keys %values;
    }
    is_deeply $m->get_multi(keys %values, 'one_that_is_not_there'), \%values;
    my @even = keys_of($k, grep { $_ % 2 == 0 } 0 .. 499);
    ok $m->delete($_) for @even[0 .. 9];
    delete @values{ @even[0 .. 9] };
    is_deeply $m->get_multi(keys_of($k, 0 .. 499)), \%values;
};

# In void context, where nobody looks at the answer, ::Fast says noreply.
test noreply => sub {
    my ($m, $k) = @_;
    $m->set($k, 1);
    $m->incr($k, 41);
    $m->delete("${k}_nothing");
    $m->add($k, 'refused');
    is $m->get($k), 42;
    $m->delete($k);
    is $m->get($k), undef;
};

test a_key_of_250_bytes => sub {
    my ($m) = @_;
    ok $m->set('k' x 250, 'value');
    is $m->get('k' x 250), 'value';
};

test stats => sub {
    my ($m) = @_;
    if ($m->can('stats')) {
        my $stats = sub { $m->stats('misc')->{hosts}{"$host:$port"}{misc} };
        my $before = $stats->();
        $m->set(stats => 1);
        $m->get('stats');
        my $after = $stats->();
        is $after->{pid}, $pid;
        is $after->{cmd_set}, $before->{cmd_set} + 1;
        is $after->{get_hits}, $before->{get_hits} + 1;
    }
    if ($m->can('server_versions')) {
        like $m->server_versions->{"$host:$port"}, qr/^\d+\.\d+\.\d+/;
    }
};

test flush_all => sub {
    my ($m, $k) = @_;
    ok $m->set($k, 'value');
    ok $m->flush_all;
    is $m->get($k), undef;
    ok $m->set($k, 'again');
    is $m->get($k), 'again';
};

my %clients = (
    # Without compression, which would make any value small enough.
    'Cache::Memcached' => sub {
        Cache::Memcached->new(servers => ["$host:$port"], compress_threshold => 0, connect_timeout => 10)
    },
    'Cache::Memcached::Fast' => sub { Cache::Memcached::Fast->new({@fast}) },
    'Cache::Memcached::Fast, nowait' => sub { Cache::Memcached::Fast->new({ @fast, nowait => 1 }) },
);
my $builder = Test::More->builder;
$builder->output('/dev/null');  # what fails is said on stderr
my $failures = sub { scalar grep { !$_ } $builder->summary };
for my $client (sort keys %clients) {
    for (@tests) {
        my ($name, $run) = @$_;
        (my $key = "${client}_$name") =~ s/\W+/_/g;
        my $m = $clients{$client}->();
        my $before = $failures->();
        eval { $run->($m, $key); 1 } or fail "it died: $@";
        diag "above: $name, $client" if $failures->() > $before;
        $m->disconnect_all;
    }
}

$builder->no_ending(1);
my $failed = $failures->();
printf "%d passed, %d failed\n", $builder->summary - $failed, $failed;
exit($failed ? 1 : 0);
