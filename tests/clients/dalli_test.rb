# Dalli, Ruby's client: the binary protocol, quiet commands among it.
begin
  require 'dalli'
rescue LoadError
  puts 'not run: ruby-dalli is not installed'
  exit 77
end

HOST, PORT, PID = ARGV
# Later ones speak the meta commands instead, which came after 1.4.25.
unless Dalli::Protocol.const_defined?(:Binary)
  puts "not run: Dalli #{Dalli::VERSION} does not speak the binary protocol"
  exit 77
end
Dalli.logger.level = Logger::FATAL

$passed = 0
$failed = 0
$key = ''

def check(right, what)
  right ? $passed += 1 : $failed += 1
  puts "#{$key}: #{what}" unless right
end

def equal(got, wanted)
  check(got == wanted, "#{got.inspect[0, 200]} instead of #{wanted.inspect[0, 200]}")
end

def refused(with)
  got = yield
  check(false, "#{got.inspect[0, 200]} instead of an error")
rescue Dalli::DalliError => e
  check(e.message.match?(with), "#{e.message.inspect} does not match #{with.inspect}")
end

# Tests share a server but no key. One that throws is one failed check.
def test(name, **options)
  $key = name
  client = Dalli::Client.new("#{HOST}:#{PORT}", { socket_timeout: 10, value_max_bytes: 4_000_000 }.merge(options))
  yield client, name
rescue StandardError => e
  check(false, "#{e.class}: #{e.message}\n  #{e.backtrace.first(3).join("\n  ")}")
ensure
  client&.close
end

# They have a second to live, while the other tests run.
test('a_second_to_live') do |c, k|
  c.set("#{k}_set", 'value', 1)
  c.set("#{k}_touch", 'value')
  c.touch("#{k}_touch", 1)
  c.set("#{k}_gat", 'value')
  c.gat("#{k}_gat", 1)
  c.set("#{k}_long", 'value', 1)
  c.touch("#{k}_long", Time.now.to_i + 100)
end

test('every_type_comes_back') do |c, k|
  ['text', '', :symbol, 7, 2**70, 3.5, nil, true, [1, { 'a' => nil }], "\0\xff\r\nEND\r\n".b].each do |value|
    check(c.set(k, value), "set #{value.inspect}")
    equal(c.get(k), value)
  end
end

test('get_of_nothing') { |c, k| equal(c.get(k), nil) }

test('raw_values_of_every_size', compress: false) do |c, k|
  [0, 1, *2000..2050, 8192, 65_536, 1_000_000].each do |size|
    value = ("v#{size} " * (size / 3 + 1))[0, size]
    c.set(k, value, 0, raw: true)
    equal(c.get(k, raw: true), value)
  end
end

test('a_compressed_value', compress: true) do |c, k|
  value = 'again and again ' * 10_000
  c.set(k, value)
  equal(c.get(k), value)
end

test('a_value_that_is_too_large', compress: false) do |c, k|
  c.set(k, 'small')
  refused(/too large/i) { c.set(k, 'x' * 2_000_000, 0, raw: true) }
  c.set("#{k}_after", 'still in step')
  equal(c.get("#{k}_after"), 'still in step')
end

test('add_and_replace') do |c, k|
  equal(c.replace(k, 'nothing there'), 0)
  check(c.add(k, 'first'), 'add')
  equal(c.add(k, 'second'), false)
  check(c.replace(k, 'third'), 'replace')
  equal(c.get(k), 'third')
end

test('append_and_prepend') do |c, k|
  equal(c.append(k, 'nothing there'), false)
  equal(c.prepend(k, 'nothing there'), false)
  c.set(k, 'b', 0, raw: true)
  equal(c.append(k, 'c'), true)
  equal(c.prepend(k, 'a'), true)
  equal(c.get(k, raw: true), 'abc')
end

test('cas') do |c, k|
  c.set(k, 'one')
  value, cas = c.get_cas(k)
  equal(value, 'one')
  check(cas.positive?, 'a number of cas')
  check(c.set_cas(k, 'two', cas), 'set_cas')
  equal(c.set_cas(k, 'three', cas), false)
  check(c.replace_cas(k, 'four', c.get_cas(k)[1]), 'replace_cas')
  equal(c.delete_cas(k, cas), false)
  equal(c.get(k), 'four')
  check(c.delete_cas(k, c.get_cas(k)[1]), 'delete_cas')
  equal(c.get(k), nil)
end

test('cas_with_a_block') do |c, k|
  equal(c.cas(k) { 'not called' }, nil)
  c.set(k, 1)
  check(c.cas(k) { |v| v + 1 }, 'cas')
  equal(c.cas(k) { |v| c.set(k, 10) && v }, false)
  equal(c.get(k), 10)
end

test('get_multi_cas') do |c, k|
  20.times { |i| c.set("#{k}#{i}", i) }
  got = c.get_multi_cas(*(0..20).map { |i| "#{k}#{i}" })
  equal(got.transform_values(&:first), (0..19).to_h { |i| ["#{k}#{i}", i] })
  equal(got.values.map(&:last).uniq.size, 20)
end

test('incr_and_decr') do |c, k|
  equal(c.incr(k), nil)
  equal(c.incr(k, 5, 0, 10), 10)
  equal(c.incr(k, 5), 15)
  equal(c.decr(k, 6), 9)
  equal(c.decr(k, 100), 0)
  equal(c.incr(k, 2**63), 2**63)
  equal(c.incr(k, 2**63), 0)
  equal(c.get(k, raw: true).strip, '0')
  equal(c.decr("#{k}_other", 1, 0, 7), 7)
end

test('incr_of_a_word') do |c, k|
  c.set(k, 'word', 0, raw: true)
  refused(/non-numeric/) { c.incr(k) }
  equal(c.get(k, raw: true), 'word')
end

test('touch_and_gat') do |c, k|
  equal(c.touch(k, 100), nil)
  equal(c.gat(k, 100), nil)
  c.set(k, 'value')
  equal(c.touch(k, 100), true)
  equal(c.gat(k, 100), 'value')
end

test('delete') do |c, k|
  equal(c.delete(k), nil)
  c.set(k, 'value')
  equal(c.delete(k), true)
  equal(c.get(k), nil)
end

# Quiet sets, then one noop; and quiet gets, of which those that miss are silent.
test('500_keys_at_once') do |c, k|
  values = (0...500).to_h { |i| ["#{k}#{i}", "value #{i} " * (i % 50 + 1)] }
  c.multi { values.each { |key, value| c.set(key, value) } }
  equal(c.get_multi(*values.keys, 'one_that_is_not_there'), values)
  even = values.keys.each_slice(2).map(&:first)
  c.multi { even.each { |key| c.delete(key) } }
  equal(c.get_multi(*values.keys), values.except(*even))
end

test('fetch') do |c, k|
  equal(c.fetch(k) { 'computed' }, 'computed')
  equal(c.fetch(k) { 'not called' }, 'computed')
end

test('a_key_of_250_bytes') do |c, _|
  c.set('k' * 250, 'value')
  equal(c.get('k' * 250), 'value')
end

test('many_clients') do |_, k|
  clients = Array.new(30) { Dalli::Client.new("#{HOST}:#{PORT}") }
  clients.each_with_index { |c, i| c.set("#{k}#{i}", i) }
  clients.reverse.each_with_index { |c, i| equal(c.get("#{k}#{i}"), i) }
  clients.each(&:close)
end

test('version_is_numeric') { |c, _| check(c.version.values.all?(/\A\d+\.\d+\.\d+/), c.version) }

test('stats') do |c, k|
  before = c.stats.values.first
  c.set(k, 'value')
  c.get(k)
  after = c.stats.values.first
  equal(after['pid'], PID)
  equal(after['cmd_set'].to_i, before['cmd_set'].to_i + 1)
  equal(after['get_hits'].to_i, before['get_hits'].to_i + 1)
  check(c.stats(:settings).values.first.key?('maxconns'), 'stats settings')
  equal(c.reset_stats, [true])
  equal(c.stats.values.first['cmd_set'], '0')
end

test('a_second_later') do |c, _|
  %w[set touch gat].each do |name|
    deadline = Time.now + 10
    gone = c.get("a_second_to_live_#{name}").nil? until gone || Time.now > deadline
    check(gone, name)
  end
  equal(c.get('a_second_to_live_long'), 'value')
end

test('flush') do |c, k|
  c.set(k, 'value')
  check(c.flush, 'flush')
  equal(c.get(k), nil)
  c.set(k, 'again')
  equal(c.get(k), 'again')
end

puts "#{$passed} passed, #{$failed} failed"
exit $failed.zero?
