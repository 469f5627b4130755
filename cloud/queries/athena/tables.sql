-- The two tables of a lake, for Athena without cloud/stack.yaml, which makes the same. Put the bucket and its prefix in place
-- of s3://farm-lake/, and the sites of the farm in place of lac-vert,north.
--
-- Partitions are projected: nothing is crawled, nothing is added when a day begins, and no bucket is listed to find them. `site`
-- is one of few. `device` is injected: a query has to say `device = '...'` or `device IN (...)`, and nobody keeps a list. Days are
-- UTC and begin with the farm: a day outside the range has no rows, without a word. Names are quoted: `time` and `rows` are
-- words of Hive's.
CREATE EXTERNAL TABLE readings (
  `time` timestamp,
  `clock` string,
  `instrument` string,
  `quantity` string,
  `value` double,
  `value_text` string,
  `unit` string,
  `quality` int,
  `seq` bigint,
  `event` string,
  `tags` string
)
PARTITIONED BY (`site` string, `device` string, `dt` string)
STORED AS PARQUET
LOCATION 's3://farm-lake/readings/v1/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.site.type' = 'enum',
  'projection.site.values' = 'lac-vert,north',
  'projection.device.type' = 'injected',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '2026-01-01,NOW',
  'storage.location.template' = 's3://farm-lake/readings/v1/site=${site}/device=${device}/dt=${dt}/'
);

-- One row an object. Here `dt` is the day of upload: a backlog may come weeks after it was read. Times are texts, because the
-- reader of JSON wants them in a form of its own: from_iso8601_timestamp() makes them times.
CREATE EXTERNAL TABLE manifests (
  `v` int,
  `key` string,
  `bytes` bigint,
  `sha256` string,
  `format` string,
  `rows` bigint,
  `epoch` string,
  `first` bigint,
  `next` bigint,
  `time_min` string,
  `time_max` string,
  `instruments` array<struct<instrument:string,quantity:string,unit:string,count:bigint,min:double,max:double,mean:double>>,
  `quality` map<string,bigint>,
  `gaps` array<struct<seq:bigint,reason:string,count:bigint,lost_first:bigint,lost_next:bigint,lost_from:string,lost_to:string>>,
  `clock` map<string,bigint>,
  `agent` string,
  `config_revision` string,
  `tags` map<string,string>,
  `uploaded_at` string,
  `prev` string,
  `rebuilt` boolean,
  `sig` string
)
PARTITIONED BY (`site` string, `device` string, `dt` string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
LOCATION 's3://farm-lake/manifests/v1/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.site.type' = 'enum',
  'projection.site.values' = 'lac-vert,north',
  'projection.device.type' = 'injected',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '2026-01-01,NOW',
  'storage.location.template' = 's3://farm-lake/manifests/v1/site=${site}/device=${device}/dt=${dt}/'
);
